"""Tests of emailsys.policy."""
