"""Tests of emailsys.store.maildrop."""
