"""Tests of emailsys.config."""
