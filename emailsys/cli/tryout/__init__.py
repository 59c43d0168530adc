"""The command `try`: a private mail system on loopback, a test message, and sample commands."""
