SMTP: accepts submissions on ports 587 and 465, after a login with AUTH PLAIN or LOGIN, and adds a missing Date or Message-ID.
