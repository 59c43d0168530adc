Outbound: many messages go over one connection, pipelined, and idle connections are reused.
