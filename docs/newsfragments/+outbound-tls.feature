Outbound: TLS is opportunistic, required or verified, for everything or for one route.
