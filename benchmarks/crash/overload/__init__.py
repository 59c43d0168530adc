"""Clients that ask more of a daemon than it can give."""
