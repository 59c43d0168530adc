Mail client: an outbox keeps messages that could not be sent; --hold leaves time to stop a message.
