Operation: one log event a line, as text or JSON; Prometheus metrics with the extra "metrics".
