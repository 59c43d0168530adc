"""Tests of emailsys.wire."""
