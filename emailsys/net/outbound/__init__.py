"""Outbound SMTP: the connection pool, one connection, pending transmissions."""
