"""System tests of the whole daemon, in memory or in a process of its own."""
