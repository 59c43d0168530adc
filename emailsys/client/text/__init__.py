"""Sanitizing of untrusted text: for the terminal, as file names, and from HTML to plain text."""
