"""The command `try`: a mail system on loopback, one message through it, and commands to go on from there."""
