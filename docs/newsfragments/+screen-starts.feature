The full screen shows its first rows with about half the CPU time: the network, the composer and the readers of
messages are imported when a key needs them.
