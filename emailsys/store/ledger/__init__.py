"""The ledger: events, ends of rows, the trace of one message, verification of all."""
