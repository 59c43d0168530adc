"""Database engines: SQLite and PostgreSQL behind one base class, the files of SQLite and their locks."""
