"""The command `move`: copies the store to another database, and makes the system use the copy."""
