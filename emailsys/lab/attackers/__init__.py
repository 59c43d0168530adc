"""Attackers: programs that listen in on, change, guess or forge what a real daemon gets."""
