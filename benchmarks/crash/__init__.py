"""Harnesses that break a daemon and check every promise it gave its clients."""
