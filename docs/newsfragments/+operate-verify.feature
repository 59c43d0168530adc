Operation: "emailsys verify" checks that each accepted recipient is in exactly one place and that each body has its digest.
