"""Tests of emailsys.cli.mail.verbs."""
