"""SMTP without I/O: grammar, order of commands and message bodies, for the server's side and the client's."""
