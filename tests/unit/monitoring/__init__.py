"""Tests of emailsys.monitoring."""
