"""Differences between Linux, macOS and Windows: file locks, files, users, limits."""
