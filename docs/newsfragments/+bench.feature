``emailsys bench`` sends many messages to an account of yours on any server, fetches them, and compares each by its
digest. It prints rates and latencies, also as JSON.
