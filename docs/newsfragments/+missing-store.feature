Store: if the store is missing, empty or replaced, no mail bounces: RCPT is answered with 451, AUTH with 454 and POP3 with `[SYS/TEMP]`. The log, `status` and `config check` say why.
