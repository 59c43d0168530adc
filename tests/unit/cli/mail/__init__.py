"""Tests of emailsys.cli.mail."""
