"""Accounts of the mail client: settings file, secrets, and discovery of servers."""
