Mail client: "emailsys mail import" reads maildirs, mbox files and .eml files, and never imports a message twice. If an import is interrupted, the same command continues it.
