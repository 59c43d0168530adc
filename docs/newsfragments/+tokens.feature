Access tokens for the HTTP API: `emailsys token add`, `list` and `remove`. A token has scopes and may expire; it is shown once, and the store keeps only a digest of it.
