Outbound: TLS is opportunistic, required or verified, for all mail or for one route.
