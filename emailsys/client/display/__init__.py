"""Messages as people see them: one message, a line of a list."""
