"""Mailboxes of plugins, which POP3 serves in place of the maildrops of the store."""
