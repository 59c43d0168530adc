"""Tests of emailsys.net.serving."""
