"""Decisions; no protocol text."""
