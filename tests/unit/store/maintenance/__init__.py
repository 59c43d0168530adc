"""Tests of emailsys.store.maintenance."""
