"""Tests of emailsys.store.commit."""
