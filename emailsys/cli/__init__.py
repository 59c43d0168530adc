"""The console program emailsys."""
