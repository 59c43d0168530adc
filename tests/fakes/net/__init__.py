"""Peers, transports, name servers and whole servers in memory."""
