Store: SQLite by default, PostgreSQL for several nodes; one file or one dump is the whole backup.
