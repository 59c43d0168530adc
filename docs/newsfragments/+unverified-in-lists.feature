Lists of messages mark a sender of your own mail system with `(?)` if the client did not log in there, as `emailsys mail show` and
the reader say in words. The JSON of lists has it as `unverified`. The index is rebuilt once.
