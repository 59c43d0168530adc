"""Database engines: SQLite and PostgreSQL behind one base class, the SQLite files and their locks."""
