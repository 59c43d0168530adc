"""Tests of emailsys.net.base."""
