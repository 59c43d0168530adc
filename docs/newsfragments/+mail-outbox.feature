Mail client: an outbox keeps what could not be sent; --hold leaves time to stop a message.
