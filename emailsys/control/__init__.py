"""Operators' commands to a running daemon, over the control socket, and their handlers."""
