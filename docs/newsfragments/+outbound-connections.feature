Outbound: many messages go over one connection, pipelined. Idle connections are reused; with `outbound.idle_connections = 0`, a connection ends with its last message.
