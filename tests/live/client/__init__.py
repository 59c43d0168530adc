"""The mail client against real servers."""
