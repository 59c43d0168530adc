Guessing of passwords is limited over all connections and protocols together: failed logins are counted by network,
answered late, and refused after ten without verification (``[limits]``). An owner is never locked out in a network
that the account has used before. A device that repeats an old password does not lock out its neighbours.
