SMTP in, a durable store, POP3 out, TLS and AUTH: a whole mail system runs from `emailsys try`, or as `twistd emailsys` and `emailsys serve`.
