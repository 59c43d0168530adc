"""POP3 without I/O: grammar, order of commands and replies, for server and client."""
