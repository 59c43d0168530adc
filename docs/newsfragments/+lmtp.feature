A route may lead to a mailbox server that speaks LMTP, by TCP or a Unix socket: `emailsys route set
lmtp:/run/dovecot/lmtp --to office.example`. Anybody may send to the domains in `routing.relay_domains`.
