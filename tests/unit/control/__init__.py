"""Tests of emailsys.control."""
