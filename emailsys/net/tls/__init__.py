"""TLS: contexts and certificates of the server and of outbound connections, checks of the peer, half-close."""
