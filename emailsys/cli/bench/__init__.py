"""The command `bench`: load on a mail server, and each message compared."""
