"""Stores, maildrops and queues in memory."""
