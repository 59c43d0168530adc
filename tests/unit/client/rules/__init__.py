"""Tests of emailsys.client.rules."""
