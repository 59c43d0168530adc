"""POP3 without I/O: grammar, order of commands and replies, for the server's side and the client's."""
