"""Lessons of the lab with real daemons."""
