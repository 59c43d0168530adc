"""A peer that reads only when it is told to."""

from __future__ import annotations

from typing import Any

from emailsys.testing.memory_peer import MemoryPeer


class SlowTransport:
    """Makes a MemoryPeer's transport one whose peer reads only when told: it chokes as a socket does."""

    def __init__(self, peer: MemoryPeer) -> None:
        transport: Any = peer.transport
        self.transport = transport
        self.peer = peer
        self.unsent = 0
        self.most = 0
        self._deliver = transport.write
        transport.write = self._take

    def _take(self, octets: bytes) -> None:
        self._deliver(octets)
        self.unsent += len(octets)
        self.most = max(self.most, self.unsent)
        if self.unsent > 65536 and self.transport.producer is not None:
            self.transport.producer.pauseProducing()

    def read(self) -> bytes:
        """The peer reads all there is."""
        got = self.peer.heard()
        self.unsent = 0
        if self.transport.producer is not None:
            self.transport.producer.resumeProducing()
        return got
