"""Metrics for Prometheus, and the mail log as a file."""
