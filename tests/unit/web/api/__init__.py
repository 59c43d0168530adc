"""Tests of the HTTP API, without a socket."""
