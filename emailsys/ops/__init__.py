"""Operator access to a running system: control socket, commands, metrics and mail log."""
