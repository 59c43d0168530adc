"""Faults of what a daemon stands on, one at a time."""
