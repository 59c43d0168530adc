"""POP3 server: protocol, login, commands over the maildrop, and sending of messages."""
