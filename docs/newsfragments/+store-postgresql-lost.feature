Store: a PostgreSQL server that vanishes is given up after 25 seconds; a node that lost its number takes no mail.
