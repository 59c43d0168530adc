"""Tests of emailsys.client.base."""
