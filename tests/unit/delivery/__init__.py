"""Tests of emailsys.delivery."""
