TLS: 1.2 and 1.3 with forward secrecy only; an RSA and an ECDSA certificate for one name, more certificates by SNI.
