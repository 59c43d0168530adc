The listener of the metrics has `/healthz` and `/readyz`, also before there is a store. `emailsys status --timeout SECONDS` ends in time if the daemon does not answer.
