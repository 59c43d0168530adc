"""Tests of the command `lab`."""
