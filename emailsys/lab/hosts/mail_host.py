"""A small SMTP server that stands for the host of another domain. It is correct; subclasses have one habit or fault."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import ClassVar, Final

from emailsys.lab.base.certificates import server_context
from emailsys.lab.base.loopback import PATIENCE, LoopbackServer
from emailsys.lab.base.values import LessonFailed
from emailsys.lab.base.view import View
from emailsys.pki import IssuedFiles
from emailsys.wiretap.conversation import Kind, Role

_ADDRESS: Final = re.compile(rb"<([^<>]*)>")
_READ: Final = 65536


class HangUp(Exception):
    """The host closes the connection without another word."""


@dataclass(slots=True)
class Stored:
    """A message that the host stored."""

    sender: str
    recipients: list[str]
    octets: bytes
    over_tls: bool
    at: float = field(default_factory=time.monotonic)


class MailHost(LoopbackServer):
    """Takes mail for every address, and keeps it in memory.

    @param certificate: with one, STARTTLS is offered.
    """

    #: What is said of this kind of host in its conversations.
    name: ClassVar[str] = "mx.elsewhere.test"

    def __init__(self, certificate: IssuedFiles | None = None) -> None:
        self._context = None if certificate is None else server_context(certificate)
        self.stored: list[Stored] = []
        #: What was said to the host, one view for each connection.
        self.views: list[View] = []
        self._changed = threading.Condition()
        super().__init__(self._serve_one)

    def wait_for(self, messages: int, seconds: float) -> bool:
        """Waits until the host has stored that number of messages; returns whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.stored) >= messages, seconds)

    def await_message(self, seconds: float = PATIENCE) -> str:
        """Waits for the first message; returns its text.

        @raise LessonFailed: it does not arrive.
        """
        if not self.wait_for(1, seconds):
            raise LessonFailed(f"no message reached {self.name} within {seconds:g} s")
        return self.stored[0].octets.decode("utf-8", "replace")

    def _serve_one(self, connection: socket.socket) -> None:
        peer = connection.getpeername()
        view = View("smtp", Role.SERVER, f"{peer[0]}:{peer[1]}", f"{self.name}:{self.port}")
        self.views.append(view)
        try:
            HostSession(self, connection, view, self._context).run()
        except HangUp:
            view.note(Kind.STATE, "the host drops the connection without a reply")
        finally:
            view.close()

    # What subclasses change.

    def answer_recipient(self, sender: str, recipient: str) -> bytes:
        """Returns the reply to RCPT."""
        return b"250 2.1.5 Recipient ok"

    def end_of_data(self, octets: bytes) -> tuple[int, int] | None:
        """Returns where the message ends and where the next command begins; None if neither has arrived."""
        if octets.startswith(b".\r\n"):
            return 0, 3
        at = octets.find(b"\r\n.\r\n")
        return None if at < 0 else (at + 2, at + 5)

    def plaintext_after_starttls(self, octets: bytes) -> bytes:
        """Returns what remains of octets that came behind STARTTLS, before TLS. RFC 3207 §4.2: nothing may remain."""
        return b""

    def store(self, message: Stored) -> bytes:
        """Stores a message and returns the reply to its end."""
        self.keep(message)
        return b"250 2.0.0 Stored"

    def keep(self, message: Stored) -> None:
        """Puts a message among those that are stored."""
        with self._changed:
            self.stored.append(message)
            self._changed.notify_all()


class HostSession:
    """One SMTP session of a mail host."""

    def __init__(self, host: MailHost, connection: socket.socket, view: View, context: ssl.SSLContext | None) -> None:
        self._host, self._socket, self._view, self._context = host, connection, view, context
        self._input = b""
        self._over_tls = False
        self._sender = ""
        self._recipients: list[str] = []

    def run(self) -> None:
        """Serves the client until it leaves."""
        try:
            self._say(f"220 {self._host.name} ESMTP".encode())
            while (line := self._line()) is not None:
                verb = line.split(b" ")[0].upper()
                if verb == b"QUIT":
                    self._say(b"221 2.0.0 Bye")
                    return
                self._act(verb, line)
        finally:
            self._socket.close()

    def _act(self, verb: bytes, line: bytes) -> None:
        match verb:
            case b"EHLO" | b"HELO":
                self._forget()
                offered = [b"PIPELINING", b"8BITMIME", b"SIZE 1000000"]
                if self._context is not None and not self._over_tls:
                    offered.append(b"STARTTLS")
                if self._over_tls:
                    offered.append(b"AUTH PLAIN")
                lines = [self._host.name.encode(), *offered]
                self._say(b"\r\n".join(b"250%b%b" % (b" " if one is lines[-1] else b"-", one) for one in lines))
            case b"STARTTLS" if self._context is not None and not self._over_tls:
                self._say(b"220 2.0.0 Go ahead")
                self._start_tls(self._context)
            case b"AUTH" if self._over_tls:
                self._say(b"235 2.7.0 Welcome")
            case b"MAIL":
                self._forget()
                self._sender = self._address(line)
                self._say(b"250 2.1.0 Sender ok")
            case b"RCPT":
                recipient = self._address(line)
                reply = self._host.answer_recipient(self._sender, recipient)
                if reply.startswith(b"2"):
                    self._recipients.append(recipient)
                self._say(reply)
            case b"DATA" if self._recipients:
                self._say(b"354 End with a dot on a line of its own")
                self._take_message()
            case b"DATA":
                self._say(b"503 5.5.1 No valid recipient")
            case b"RSET" | b"NOOP":
                if verb == b"RSET":
                    self._forget()
                self._say(b"250 2.0.0 Ok")
            case _:
                self._say(b"500 5.5.2 Unknown command")

    def _take_message(self) -> None:
        while (found := self._host.end_of_data(self._input)) is None:
            if not self._fill():
                raise HangUp
        end, following = found
        octets = self._input[:end].replace(b"\r\n..", b"\r\n.")
        self._input = self._input[following:]
        message = Stored(self._sender, list(self._recipients), octets, self._over_tls)
        self._forget()
        self._say(self._host.store(message))

    def _start_tls(self, context: ssl.SSLContext) -> None:
        self._input = self._host.plaintext_after_starttls(self._input)
        self._socket = context.wrap_socket(self._socket, server_side=True)
        self._over_tls = True
        self._forget()
        self._view.decrypted("TLS is established")

    def _forget(self) -> None:
        self._sender, self._recipients = "", []

    @staticmethod
    def _address(line: bytes) -> str:
        found = _ADDRESS.search(line)
        return found[1].decode("latin-1") if found else ""

    def _line(self) -> bytes | None:
        while b"\r\n" not in self._input:
            if not self._fill():
                return None
        line, _, self._input = self._input.partition(b"\r\n")
        return line

    def _fill(self) -> bool:
        octets = self._socket.recv(_READ)
        if octets:
            self._input += octets
            self._view.from_client(octets)
        return bool(octets)

    def _say(self, reply: bytes) -> None:
        self._view.from_server(reply + b"\r\n")
        self._socket.sendall(reply + b"\r\n")
