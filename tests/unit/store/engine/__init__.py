"""Tests of emailsys.store.engine."""
