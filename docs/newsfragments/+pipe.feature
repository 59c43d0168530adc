A route may lead to a command that gets each message on its standard input: `host = "pipe:/usr/local/bin/tickets
${recipient}"` in `[[routing.routes]]`. Its exit status is read as by Postfix's pipe(8).
