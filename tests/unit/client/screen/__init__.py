"""Tests of emailsys.client.screen."""
