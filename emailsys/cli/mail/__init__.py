"""Commands of the mail client: `emailsys mail`."""
