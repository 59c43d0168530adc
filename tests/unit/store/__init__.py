"""Tests of emailsys.store."""
