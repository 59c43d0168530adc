Outbound: a durable queue retries for five days, tells the sender of a delay after four hours, and returns mail that fails.
