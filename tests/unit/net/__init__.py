"""Tests of emailsys.net."""
