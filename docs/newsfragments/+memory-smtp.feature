`emailsys.testing.MemorySMTP` runs real SMTP sessions in memory, on a clock, for tests of protocols; `MemoryPeer` is its client, and works with any Twisted protocol.
