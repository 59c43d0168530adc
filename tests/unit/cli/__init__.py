"""Tests of emailsys.cli."""
