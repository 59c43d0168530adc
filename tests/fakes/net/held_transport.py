"""A transport whose kernel takes octets only when it is told to, with a TLS layer over it or without."""

from __future__ import annotations

from typing import Any


class HeldTransport:
    """A transport that holds octets the kernel did not take, and notes what is asked of it."""

    def __init__(self, octets: int) -> None:
        self.dataBuffer = b"x" * octets
        self.offset = 0
        self.asked: list[str] = []

    def takes(self, octets: int) -> None:
        """The kernel takes so many more."""
        self.offset += octets

    def loseConnection(self) -> None:
        self.asked.append("close")

    def loseWriteConnection(self) -> None:
        self.asked.append("end our side")


class Layer:
    """A TLS layer over it; what it does not know itself it asks the transport below."""

    wrappedProtocol = None

    def __init__(self, below: HeldTransport) -> None:
        self.transport = Below(below)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport.held, name)

    def loseConnection(self) -> None:
        self.transport.held.asked.append("close_notify")


class Below:
    """What the layer writes to."""

    def __init__(self, held: HeldTransport) -> None:
        self.held = held

    def loseConnection(self) -> None:
        self.held.asked.append("close below TLS")
