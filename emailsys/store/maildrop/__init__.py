"""Maildrops as POP3 opens them, and their locks."""
