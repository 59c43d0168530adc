`account add` asks again for a password that the server refused, and tries STARTTLS where TLS fails.
It needs no password for an account without servers. Ctrl-C at a prompt for a password ends every verb.
