"""Tests of emailsys.web.base."""
