"""Protocols without I/O: octets to events and back."""
