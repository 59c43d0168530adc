Mail client: "emailsys mail" fetches over POP3 and submits over SMTP for several accounts, with TLS by default.
