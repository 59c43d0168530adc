"""SMTP without I/O: grammar, order of commands and message bodies, for server and client."""
