"""Tests of emailsys/store/node."""
