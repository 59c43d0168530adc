Outbound: a truncated or forged DNS answer is never treated as a failure of the recipient.
