"""Tests of emailsys.mail.message."""
