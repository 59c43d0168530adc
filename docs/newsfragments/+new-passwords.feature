`user add` and `user password` refuse passwords with fewer than 10 characters (`login.min_password_length`), common passwords, and the account's own name, each with the reason.
