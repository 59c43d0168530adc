"""Tests of emailsys.net.smtp."""
