POP3: deletes in one commit at QUIT, before +OK; a broken connection deletes nothing.
