"""Local message store of the client: one .eml file per message, and an index that can be rebuilt from the files."""
