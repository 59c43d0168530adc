"""Tests of emailsys.cli.commands."""
