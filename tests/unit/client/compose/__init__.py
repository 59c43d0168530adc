"""Tests of emailsys.client.compose."""
