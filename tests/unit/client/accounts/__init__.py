"""Tests of emailsys.client.accounts."""
