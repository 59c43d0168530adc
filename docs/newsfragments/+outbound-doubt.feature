Outbound: what may arrive twice, after a lost connection or a crash, is marked in "emailsys trace".
