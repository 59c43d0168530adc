"""Tests of emailsys.client.archive."""
