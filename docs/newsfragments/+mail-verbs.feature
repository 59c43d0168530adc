Mail client: each verb works in scripts with --json; "emailsys mail sendmail" stands in for /usr/sbin/sendmail.
