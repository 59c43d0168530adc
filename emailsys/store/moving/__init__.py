"""Moving a store to another database: changes are recorded, rows copied and compared, and the stores swapped."""
