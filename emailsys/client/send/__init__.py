"""Sending of mail: outbox, submission, and the outcome of each attempt."""
