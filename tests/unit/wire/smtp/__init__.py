"""Tests of emailsys.wire.smtp."""
