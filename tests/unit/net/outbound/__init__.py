"""Tests of emailsys.net.outbound."""
