"""Tests of emailsys.lab.base."""
