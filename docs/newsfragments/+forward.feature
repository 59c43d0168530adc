`emailsys user forward` forwards the mail of an account to other addresses, with or without a copy in its maildrop. Loops lose no mail, and a forward gives no right to send.
