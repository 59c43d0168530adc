Mail client: keeps each message as one .eml file, exactly as it came; the search index can be rebuilt from the files.
