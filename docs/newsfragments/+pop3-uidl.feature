POP3: the unique id of a message never changes and is never given to another message.
