"""Octets to protocol events and back, without I/O."""
