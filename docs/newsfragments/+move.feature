`emailsys move --to URL` moves the store to another database, from SQLite to PostgreSQL and back. All rows
are compared, unique-ids stay the same, and `store.url` is replaced in the configuration.
