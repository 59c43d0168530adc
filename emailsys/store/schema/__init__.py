"""The schema: tables, the times in their columns, migrations."""
