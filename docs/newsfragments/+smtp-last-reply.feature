SMTP: the last reply reaches a client that is still sending, or that has closed its side of TLS.
