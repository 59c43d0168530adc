"""The queue and what leaves by it, on a clock of the test's."""
