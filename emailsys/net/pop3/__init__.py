"""The POP3 server: sessions, logins, and messages on their way out."""
