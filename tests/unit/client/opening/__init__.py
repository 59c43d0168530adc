"""Tests of emailsys.client.opening."""
