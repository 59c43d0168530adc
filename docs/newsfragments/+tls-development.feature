TLS: a development CA creates certificates for trials; "emailsys certs" shows and renews them.
