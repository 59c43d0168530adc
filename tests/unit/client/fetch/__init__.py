"""Tests of emailsys.client.fetch."""
