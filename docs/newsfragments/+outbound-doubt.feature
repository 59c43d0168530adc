Outbound: a message that may arrive twice, after a lost connection or a crash, is marked in "emailsys trace".
