"""Conversations with other hosts, recorded and explained: the protocol lines, the TLS handshake, each decision."""
