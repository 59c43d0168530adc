"""Tests of emailsys.wire.pop3."""
