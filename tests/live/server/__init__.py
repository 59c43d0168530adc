"""The daemon as its clients and operators meet it."""
