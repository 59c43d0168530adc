"""Tests of emailsys.cli.tryout."""
