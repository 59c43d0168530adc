POP3: a login takes over a maildrop whose session has been silent for a minute; the deletes of that session are void.
