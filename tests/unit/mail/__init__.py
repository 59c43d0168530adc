"""Tests of emailsys.mail."""
