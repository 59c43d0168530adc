"""Tests of emailsys.ops."""
