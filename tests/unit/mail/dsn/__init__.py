"""Tests of emailsys.mail.dsn."""
