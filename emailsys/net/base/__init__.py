"""What every connection needs: writes to a socket, coroutines, the text of failures."""
