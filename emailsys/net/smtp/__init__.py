"""The SMTP server: sessions, logins, transactions, and the message that comes in."""
