"""Composing: what a person writes becomes a message that every mail program understands."""
