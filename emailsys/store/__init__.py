"""What survives a crash: messages, maildrops, the queue, accounts. Opened by `open.open_store`."""
