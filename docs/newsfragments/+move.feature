`emailsys move --to URL` moves the store to another database, from SQLite to PostgreSQL and back, while
the daemon serves. All rows are compared, unique-ids stay the same, and `store.url` is replaced in the
configuration.
