"""The pytest plugin with real frameworks, and `emailsys catch` as a process."""
