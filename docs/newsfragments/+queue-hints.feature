On PostgreSQL, a node that has no room for more queued mail, or stops, tells the other nodes, which
deliver it within a second. `emailsys queue retry` and `release` reach all nodes as fast.
