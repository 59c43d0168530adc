"""Tests of emailsys.client.contacts."""
