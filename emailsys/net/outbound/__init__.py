"""Outbound SMTP: connection pool, connections, pending transmissions."""
