"""Lessons: real attackers against the real daemon on loopback, with and without the protection."""
