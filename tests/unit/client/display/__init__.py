"""Tests of emailsys.client.display."""
