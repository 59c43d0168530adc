Passwords of other systems open accounts: ``login.auth`` names LDAP directories, Dovecot's authentication socket, checkers of
``twisted.cred`` as ``twistd --auth`` does, and Python packages, which are asked in turn (``docs/extending.md``). An account
can be made at its first login.
