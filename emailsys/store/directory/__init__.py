"""The directory: accounts, aliases, routes and quotas, with a cache for look-ups."""
