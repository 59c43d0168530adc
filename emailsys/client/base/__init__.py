"""Shared modules of the client: process locks, threads, folders, and file locations."""
