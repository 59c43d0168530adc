"""Sending: the outbox, the submission server, the outcome of each attempt."""
