"""Tests of emailsys.client."""
