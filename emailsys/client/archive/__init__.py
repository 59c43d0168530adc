"""The local store of the client: one .eml a message, and an index that can be made anew from the files."""
