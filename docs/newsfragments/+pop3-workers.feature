`workers` of `[pop3]` lets several processes serve POP3, so that it uses several cores.
