"""Fetch by POP3: TCP streams, POP3 client, session with a maildrop, and journal of fetched ids."""
