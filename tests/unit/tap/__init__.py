"""Tests of emailsys.tap."""
