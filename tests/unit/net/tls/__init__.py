"""Tests of emailsys.net.tls."""
