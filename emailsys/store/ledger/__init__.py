"""The ledger: events and ends of messages, the trace of one message, verification of all."""
