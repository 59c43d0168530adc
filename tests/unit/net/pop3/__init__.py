"""Tests of emailsys.net.pop3."""
