"""Presentation of messages to the user: a whole message, or one line of a list."""
