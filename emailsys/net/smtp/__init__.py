"""SMTP server: protocol, session, login, transactions and the message received."""
