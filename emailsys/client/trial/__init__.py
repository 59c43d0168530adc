"""Trial connections to an account's servers: connect, TLS, and login."""
