"""Mail hosts of other people, and deliberately weak ones, on loopback."""
