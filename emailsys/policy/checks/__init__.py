"""Checks of received mail by plugins: loaded, called with a deadline, and their verdicts carried out."""
