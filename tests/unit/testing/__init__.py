"""Tests of emailsys.testing."""
