"""The store: messages, maildrops, the queue and accounts in a database. `open.open_store` opens it."""
