"""Tests of emailsys.store.schema."""
