"""The queue: leases, settlements, postponement, and what operators do with it."""
