"""The verbs of `emailsys mail`."""
