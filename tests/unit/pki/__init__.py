"""Tests of emailsys.pki."""
