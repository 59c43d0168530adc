"""Tests of emailsys.supervisor."""
