"""The whole mail client, against servers in memory or on loopback."""
