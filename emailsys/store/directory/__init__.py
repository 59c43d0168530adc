"""The directory: accounts, aliases, routes and quotas, and the cache that answers for them."""
