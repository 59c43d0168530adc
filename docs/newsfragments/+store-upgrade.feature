Store: a SQLite store is copied before it is upgraded; a PostgreSQL store is upgraded by "emailsys upgrade".
