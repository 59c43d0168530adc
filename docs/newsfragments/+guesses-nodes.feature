With several nodes on PostgreSQL, failed logins and unknown recipients on one node count on all.
