"""Tests of the sanitizing of untrusted text."""
