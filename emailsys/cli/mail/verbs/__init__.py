"""Verbs of `emailsys mail`."""
