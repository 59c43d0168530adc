"""The command `probe`: another mail server examined, as text, JSON or a page."""
