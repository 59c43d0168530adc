Store: if a PostgreSQL server stops answering, the daemon gives up after 25 seconds and connects again; a node that lost its number accepts no mail.
