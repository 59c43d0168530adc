"""The command `watch`: live conversations of the daemon, as a full screen, as lines or as JSON."""
