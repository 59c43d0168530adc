"""Maildrops for POP3, and their locks."""
