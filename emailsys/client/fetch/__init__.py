"""Fetching by POP3: streams, the protocol, one session with a maildrop, the journal of what was fetched."""
