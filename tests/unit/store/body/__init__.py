"""Tests of emailsys.store.body."""
