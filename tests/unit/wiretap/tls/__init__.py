"""TLS on the wire: records, messages, the handshake, certificate chains."""
