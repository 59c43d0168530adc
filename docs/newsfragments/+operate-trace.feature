Operation: "emailsys trace" tells the life of a message, found by its queue id, Message-ID or address.
