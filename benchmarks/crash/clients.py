"""SMTP and POP3 clients that tell a connection that ended from a refusal, and judge nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Self

from benchmarks.crash.node import PASSWORD
from tests.live.programs.daemon import Daemon
from tests.live.programs.wire import TIMEOUT, Wire

# RETR commands that are sent ahead of their replies.
AHEAD = 20
# DELE commands that are sent in one piece.
DELETES = 500


class Gone(Exception):
    """The connection has ended."""


class Refused(Exception):
    """The server said no."""


def stuffed(text: bytes) -> bytes:
    """A message with its leading dots doubled (RFC 5321 §4.5.2)."""
    return re.sub(rb"^\.", b"..", text, flags=re.MULTILINE)


class Connection(Wire):
    """A connection whose end is an exception.

    @param tls: whether to begin TLS at once.
    @raise Gone: there is no connection.
    """

    def __init__(
        self, daemon: Daemon, service: str, *, timeout: float = TIMEOUT, source: str | None = None, tls: bool = False
    ) -> None:
        try:
            super().__init__(daemon, service, timeout=timeout, source=source)
            if tls:
                self.encrypt(daemon.ca)
        except OSError as error:
            raise Gone(str(error)) from error

    def say(self, octets: bytes) -> None:
        try:
            super().say(octets)
        except OSError as error:
            raise Gone(str(error)) from error

    def more(self) -> bool:
        try:
            if super().more():
                return True
        except OSError as error:
            raise Gone(str(error)) from error
        raise Gone("the server hung up")

    def __enter__(self) -> Self:
        return self


class Smtp(Connection):
    """An SMTP session that has said EHLO."""

    def __init__(
        self,
        daemon: Daemon,
        service: str = "smtp",
        *,
        timeout: float = TIMEOUT,
        source: str | None = None,
        tls: bool = False,
    ) -> None:
        super().__init__(daemon, service, timeout=timeout, source=source, tls=tls)
        self.expect(b"220")
        self.demand(b"EHLO client.example.org", b"250")

    def expect(self, code: bytes) -> bytes:
        """The next reply.

        @raise Refused: it has another code.
        """
        reply = self.reply()
        if not reply.startswith(code):
            raise Refused(reply.decode(errors="replace"))
        return reply

    def demand(self, command: bytes, code: bytes) -> bytes:
        """Send a command; its reply must have that code."""
        self.say(command + b"\r\n")
        return self.expect(code)

    def login(self, address: str, password: str = PASSWORD) -> None:
        """AUTH PLAIN (RFC 4616)."""
        secret = base64.b64encode(f"\0{address}\0{password}".encode())
        self.demand(b"AUTH PLAIN " + secret, b"235")

    @staticmethod
    def envelope(sender: str, recipients: Iterable[str]) -> bytes:
        """MAIL and RCPT in one piece (RFC 2920)."""
        return f"MAIL FROM:<{sender}>\r\n".encode() + b"".join(f"RCPT TO:<{one}>\r\n".encode() for one in recipients)

    def send(self, sender: str, recipients: Sequence[str], text: bytes) -> bytes:
        """Send a message by DATA; the reply to its end."""
        self.say(self.envelope(sender, recipients) + b"DATA\r\n")
        for _ in range(1 + len(recipients)):
            self.expect(b"250")
        self.expect(b"354")
        self.say(stuffed(text) + b".\r\n")
        return self.reply()


class Pop3(Connection):
    """A POP3 session that has been greeted."""

    def __init__(self, daemon: Daemon, service: str = "pop3", *, timeout: float = TIMEOUT, source: str | None = None):
        super().__init__(daemon, service, timeout=timeout, source=source)
        self.expect()

    def expect(self) -> bytes:
        """The next reply.

        @raise Refused: it is not +OK.
        """
        line = self.line()
        if not line.startswith(b"+OK"):
            raise Refused(line.decode(errors="replace"))
        return line

    def demand(self, command: str) -> bytes:
        """Send a command; its reply must be +OK."""
        self.say(command.encode() + b"\r\n")
        return self.expect()

    def login(self, address: str, password: str = PASSWORD) -> None:
        """USER and PASS."""
        self.demand(f"USER {address}")
        self.demand(f"PASS {password}")

    def has_body(self) -> bool:
        """Whether all lines before the final dot have arrived."""
        return b"\r\n.\r\n" in self._unread

    def body(self) -> bytes:
        """The lines before the final dot, unstuffed (RFC 1939 §3)."""
        while True:
            if self._unread.startswith(b".\r\n"):
                del self._unread[:3]
                return b""
            end = self._unread.find(b"\r\n.\r\n")
            if end >= 0:
                break
            self.more()
        text = bytes(self._unread[: end + 2])
        del self._unread[: end + 5]
        return re.sub(rb"^\.\.", b".", text, flags=re.MULTILINE)

    def uidl(self) -> dict[int, str]:
        """The unique ids, by message number."""
        self.demand("UIDL")
        return {int(number): uid for number, uid in (line.split() for line in self.body().decode().splitlines())}

    def fetch(self, numbers: Sequence[int], ahead: int = AHEAD) -> Iterable[tuple[int, bytes]]:
        """Read messages by RETR, with some commands sent ahead of their replies."""
        asked = 0
        for done, number in enumerate(numbers):
            wanted = numbers[asked : done + ahead]
            if wanted:
                self.say(b"".join(b"RETR %d\r\n" % one for one in wanted))
                asked += len(wanted)
            self.expect()
            yield number, self.body()

    def delete(self, numbers: Sequence[int]) -> None:
        """Mark messages as deleted; QUIT removes them."""
        for start in range(0, len(numbers), DELETES):
            some = numbers[start : start + DELETES]
            self.say(b"".join(b"DELE %d\r\n" % one for one in some))
            for _ in some:
                self.expect()
