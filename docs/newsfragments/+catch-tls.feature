`emailsys catch --tls` and `MailSystem(tls=True)` offer STARTTLS and STLS with an authority of their own. Failures can be scripted for POP3, too: `-ERR at the first PASS`, `drop after QUIT`.
