"""Tests of the explanations of the wire."""
