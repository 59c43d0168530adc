"""A stream by script: what is heard is given in order, what is said is written down."""

from __future__ import annotations

from typing import Any

from emailsys.client.fetch.stream import Stream
from emailsys.net.tls.peer import ExpectedServer


class ScriptedStream:
    """Gives what `heard` holds, piece by piece; an exception in it is raised, and its end is the server's."""

    def __init__(self, *heard: bytes | Exception) -> None:
        self.heard = list(heard)
        self.said = b""
        #: Seconds that were granted for what came last.
        self.granted = 0.0
        self.steps: list[str] = []
        self.peer_host = "127.0.0.1"
        self.tls: Any = None

    def connect(self, host: str, port: int, seconds: float) -> None:
        self.steps.append(f"connect {host} {port}")
        self._fail()

    def start_tls(self, server: ExpectedServer, seconds: float) -> None:
        self.steps.append(f"tls after {self.said!r}")
        self.granted = seconds
        self._fail()

    def receive(self, seconds: float) -> bytes:
        self.granted = seconds
        self._fail()
        piece = self.heard.pop(0) if self.heard else b""
        assert isinstance(piece, bytes)
        return piece

    def send(self, octets: bytes, seconds: float) -> None:
        self.said += octets

    def close(self) -> None:
        self.steps.append("close")

    def hang_up(self) -> None:
        """Nobody waits here."""

    def _fail(self) -> None:
        if self.heard and isinstance(self.heard[0], Exception):
            raise self.heard.pop(0)  # type: ignore[misc]


def is_a_stream(stream: ScriptedStream) -> Stream:
    """mypy sees to it."""
    return stream
