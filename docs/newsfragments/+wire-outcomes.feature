Recorded outbound conversations name the message that the other host has taken, by its queue id, and `emailsys trace --export` finds the conversation by it.
