"""The schema: tables, rows, conversions of column values, migrations."""
