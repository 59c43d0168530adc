"""Transactions: the database, its writer and reader threads, group commits, ids."""
