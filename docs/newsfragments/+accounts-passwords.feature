Accounts: passwords are hashed with argon2id; a hash with old parameters is renewed at the next login.
