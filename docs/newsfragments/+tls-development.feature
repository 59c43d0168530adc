TLS: a development CA makes certificates for trying out; "emailsys certs" shows and renews them.
