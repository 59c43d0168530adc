Guessing of passwords is limited over all connections and protocols together: failed logins are counted by network,
answered late, and refused after ten without verification (``[limits]``). An owner is never locked out in a network
that the account has used before.
