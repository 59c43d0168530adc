"""Outbound delivery: the queue runner, the dispatcher and the relay."""
