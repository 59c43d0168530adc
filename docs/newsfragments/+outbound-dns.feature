Outbound: a truncated or forged answer of a name server is never taken for a failure of the recipient.
