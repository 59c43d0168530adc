"""Messages: accepting them, and their rows."""
