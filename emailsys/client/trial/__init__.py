"""Trial of an account's servers: connect, TLS, log in."""
