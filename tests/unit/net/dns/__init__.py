"""Tests of emailsys.net.dns."""
