SMTP: limits connections in all and for each address, refusals in a session, and the time a message may take, so that no client can shut out the others.
