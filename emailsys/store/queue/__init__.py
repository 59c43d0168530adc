"""The queue of recipients on other hosts: leases, settlements, postponement, operations."""
