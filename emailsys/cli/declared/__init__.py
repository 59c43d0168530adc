"""Declared accounts: `emailsys apply` and `emailsys export`."""
