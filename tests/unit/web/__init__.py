"""Tests of the web face, in memory."""
