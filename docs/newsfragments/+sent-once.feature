A message that is sent by the web face or the HTTP API is sent once, even if its request is repeated, also after a crash. Programs send the header field `Idempotency-Key`.
