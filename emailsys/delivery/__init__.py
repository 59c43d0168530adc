"""Bring mail to other hosts: the queue runner and the relay."""
