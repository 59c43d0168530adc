"""Tests of emailsys.daemon."""
