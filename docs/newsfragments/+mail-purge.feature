Mail client: after a message was sent, its draft and its outbox copy are deleted permanently in one step, so that a crash leaves nothing in Trash.
