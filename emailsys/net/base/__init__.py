"""Parts of every connection: writes to a socket, coroutines, the text of failures."""
