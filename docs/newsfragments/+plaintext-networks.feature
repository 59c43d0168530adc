`plaintext_auth_networks` in `[smtp]` and `[pop3]` names networks whose clients may log in without TLS, such as that of containers on one machine. `config check` warns of each.
