With several nodes on PostgreSQL, a login takes over a maildrop from a silent session on any node,
also if that node hangs.
