"""Sessions over Twisted transports, and over plain sockets for a fetch."""
