"""Tests of the exported pages."""
