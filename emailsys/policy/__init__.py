"""Decisions about logins, permitted senders and recipients, relaying, aliases and routes."""
