"""The commands of a person who reads and writes mail: `emailsys mail`."""
