"""Messages: the intake, and the rows of accepted messages."""
