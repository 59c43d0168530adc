"""Sessions over Twisted transports."""
