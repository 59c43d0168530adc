"""Web face of the running system: pages and an API over HTTP, served by the daemon if it is configured."""
