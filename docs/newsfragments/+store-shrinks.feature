Store: the SQLite file shrinks after mail is deleted, in steps short enough that no message waits.
