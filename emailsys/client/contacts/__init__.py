"""Contact book: people and groups that the user keeps, with short names, and vCard files."""
