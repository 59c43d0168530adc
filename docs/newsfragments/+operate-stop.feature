Operation: SIGTERM drains; the daemon waits only for messages whose last octet was sent.
