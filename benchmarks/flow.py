"""Many SMTP sessions from one thread, each with one message after the other, as fast as the server answers."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

RECV_OCTETS = 65536


@dataclass
class Figures:
    """What was measured: seconds from the first octet of an envelope to the 250 of its body."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Messages a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, part: float) -> float:
        """A latency in milliseconds, below which that part of them lies."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0

    def __str__(self) -> str:
        return (
            f"{len(self.latencies)} messages in {self.seconds:.1f} s, {self.rate:,.0f}/s; "
            f"p50 {self.percentile(0.5):.1f} ms, p99 {self.percentile(0.99):.1f} ms"
        )


class Session:
    """One connection: MAIL, RCPT and DATA in one segment (RFC 2920), then the body."""

    def __init__(self, port: int, envelope: Callable[[], bytes], body: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 30.0)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._envelope = envelope
        self._body = body
        self._heard = b""
        self._read(1)
        self.sock.sendall(b"EHLO bench.example.org\r\n")
        self._read(1)
        self.began = 0.0
        self._in_body = False

    def _read(self, replies: int) -> None:
        """Wait for that many whole replies."""
        while replies:
            while b"\r\n" not in self._heard:
                self._heard += self._receive()
            line, _, self._heard = self._heard.partition(b"\r\n")
            assert line[:1] == b"2", line
            replies -= line[3:4] != b"-"

    def _receive(self) -> bytes:
        octets = self.sock.recv(RECV_OCTETS)
        if not octets:
            raise ConnectionError("the server has hung up")
        return octets

    def begin(self) -> None:
        """Send an envelope."""
        self.began = time.perf_counter()
        self._in_body = False
        self.sock.sendall(self._envelope())

    def ready(self) -> bool:
        """Read what has come and go on; True where the body has its 250."""
        self._heard += self._receive()
        lines = self._heard.split(b"\r\n")
        self._heard = lines.pop()
        for line in lines:
            if line.startswith(b"354"):
                self._in_body = True
                self.sock.sendall(self._body)
            elif not line.startswith(b"250"):
                raise ConnectionError(f"unexpected reply {line!r}")
            elif self._in_body:
                return True
        return False

    def close(self) -> None:
        """Leave as one should."""
        self.sock.sendall(b"QUIT\r\n")
        self.sock.close()


def envelopes(recipients: Sequence[str]) -> Callable[[], bytes]:
    """Envelopes to one recipient after the other."""
    texts = [b"MAIL FROM:<bench@elsewhere.example>\r\nRCPT TO:<%b>\r\nDATA\r\n" % name.encode() for name in recipients]
    turn = iter(range(1 << 62))
    return lambda: texts[next(turn) % len(texts)]


def message(octets: int) -> bytes:
    """A message of about that many octets, with its end of data."""
    header = b"From: <bench@elsewhere.example>\r\nSubject: a benchmark\r\nMessage-ID: <bench@example.org>\r\n\r\n"
    line = b"0123456789abcdef" * 4 + b"\r\n"
    return header + line * max(1, (octets - len(header)) // len(line)) + b".\r\n"


def flow(
    port: int, recipients: Sequence[str], octets: int, connections: int, go_on: Callable[[Figures, float], bool]
) -> Figures:
    """Send until `go_on(figures, seconds)` says no, then let each session finish its message."""
    if sys.platform != "linux":
        raise RuntimeError("needs Linux")
    envelope, body = envelopes(recipients), message(octets)
    sessions = {}
    poll = select.epoll()
    for _ in range(connections):
        session = Session(port, envelope, body)
        sessions[session.sock.fileno()] = session
        poll.register(session.sock, select.EPOLLIN)
    figures = Figures()
    began = time.perf_counter()
    for session in sessions.values():
        session.begin()
    busy = len(sessions)
    while busy:
        for descriptor, _ in poll.poll(30.0):
            session = sessions[descriptor]
            if not session.ready():
                continue
            now = time.perf_counter()
            figures.latencies.append(now - session.began)
            if go_on(figures, now - began):
                session.begin()
            else:
                busy -= 1
    figures.seconds = time.perf_counter() - began
    for session in sessions.values():
        session.close()
    return figures
