"""Tests of emailsys.platforms."""
