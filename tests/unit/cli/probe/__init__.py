"""Tests of emailsys.cli.probe."""
