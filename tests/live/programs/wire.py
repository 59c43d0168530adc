"""A client that says exactly the octets a test wants, with no opinion of its own about SMTP or POP3."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from pathlib import Path

from tests.live.programs.daemon import Daemon, User

TIMEOUT = 60.0
READ_OCTETS = 262_144


class Wire:
    """A connection to one of a daemon's ports.

    @param timeout: seconds to wait for each piece of a reply.
    @param source: the address to connect from.
    """

    def __init__(
        self,
        daemon: Daemon,
        service: str,
        host: str = "127.0.0.1",
        *,
        timeout: float = TIMEOUT,
        source: str | None = None,
    ) -> None:
        origin = None if source is None else (source, 0)
        self.sock: socket.socket = socket.create_connection((host, daemon.ports[service]), timeout, origin)
        self._unread = bytearray()

    def say(self, octets: bytes) -> None:
        """Send, in one piece where the kernel allows."""
        self.sock.sendall(octets)

    def encrypt(self, ca: Path) -> None:
        """Begin TLS, with the certificate and its name checked."""
        context = ssl.create_default_context(cafile=str(ca))
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def line(self) -> bytes:
        """The next line without its CRLF; empty octets where the connection has ended."""
        while (end := self._unread.find(b"\r\n")) < 0:
            if not self.more():
                end = len(self._unread)
                break
        line = bytes(self._unread[:end])
        del self._unread[: end + 2]
        return line

    def more(self) -> bool:
        """Read what has come; False where the connection has ended."""
        octets = self.sock.recv(READ_OCTETS)
        self._unread += octets
        return bool(octets)

    def reply(self) -> bytes:
        """The next SMTP reply, its lines joined by line feeds."""
        lines = [self.line()]
        while re.match(rb"\d{3}-", lines[-1]):
            lines.append(self.line())
        return b"\n".join(lines)

    def ask(self, command: bytes) -> bytes:
        """One SMTP command and its reply."""
        self.say(command + b"\r\n")
        return self.reply()

    def code(self, command: bytes) -> int:
        """The code of the reply to one SMTP command."""
        return int(self.ask(command)[:3])

    def until_end(self) -> bytes:
        """All that comes before the connection ends, however it ends."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        octets = bytes(self._unread)
        self._unread.clear()
        return octets

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def plain(user: User) -> bytes:
    """The response of AUTH PLAIN (RFC 4616)."""
    return base64.b64encode(f"\0{user.address}\0{user.password}".encode())


def smtp(daemon: Daemon, service: str = "smtp") -> Wire:
    """A session that has said EHLO."""
    wire = Wire(daemon, service)
    assert wire.reply().startswith(b"220 ")
    assert wire.code(b"EHLO client.example.org") == 250
    return wire


def pop3(daemon: Daemon, user: User) -> Wire:
    """A session that has logged in, in the clear."""
    wire = Wire(daemon, "pop3")
    assert wire.line().startswith(b"+OK")
    for command in (f"USER {user.address}", f"PASS {user.password}"):
        wire.say(command.encode() + b"\r\n")
        answer = wire.line()
        assert answer.startswith(b"+OK"), answer
    return wire
