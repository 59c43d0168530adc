"""A small server on a real socket: it does what a function says, or plays SMTP with chosen faults."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

Behaviour = Callable[[socket.socket], None]


class ToyServer:
    """Listens on a free port of loopback. Each connection gets a thread that runs the behaviour, then is closed."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = int(self._listening.getsockname()[1])
        self.is_closed = threading.Event()
        self.connections = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ssl.SSLError):
            self._behaviour(connection)

    def close(self) -> None:
        """End all connections."""
        self.is_closed.set()
        # Wakes the thread in accept; closing alone does not on Linux.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


@dataclass
class ToySMTP:
    """SMTP with chosen faults; a behaviour.

    @ivar context: None for a server without TLS.
    @ivar keeps_commands: whether commands that came with STARTTLS are carried out inside TLS.
    @ivar clear_login: whether AUTH is accepted before TLS.
    @ivar ends: the ends of a message, as a regular expression.
    @ivar to_message: the reply to a message. @ivar to_noop: the reply to NOOP.
    """

    context: ssl.SSLContext | None = None
    keeps_commands: bool = False
    clear_login: bool = False
    ends: bytes = rb"\r\n\.\r\n"
    to_message: str = "250 queued"
    to_noop: str = "250 ok"

    def __call__(self, connection: socket.socket) -> None:
        """Serve one client to its end."""
        session = _Session(self, connection)
        session.say("220 toy ESMTP")
        while session.act(session.line()):
            pass


class _Session:
    def __init__(self, toy: ToySMTP, connection: socket.socket) -> None:
        self._toy = toy
        self._connection = connection
        self._rest = b""
        self._in_tls = False

    def say(self, *lines: str) -> None:
        self._connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def line(self) -> bytes:
        return self._up_to(rb"\r\n")

    def _up_to(self, end: bytes) -> bytes:
        while (found := re.search(end, self._rest)) is None:
            octets = self._connection.recv(4096)
            if not octets:
                raise OSError("the client is gone")
            self._rest += octets
        before, self._rest = self._rest[: found.start()], self._rest[found.end() :]
        return before

    def act(self, line: bytes) -> bool:
        """Returns whether the session goes on."""
        verb = line.split(b" ")[0].upper()
        offers_login = self._toy.clear_login or self._in_tls
        if verb == b"EHLO":
            offers_tls = self._toy.context is not None and not self._in_tls
            offered = ["250-STARTTLS"] * offers_tls + ["250-AUTH PLAIN"] * offers_login
            self.say("250-toy", *offered, "250 8BITMIME")
        elif verb == b"STARTTLS" and self._toy.context is not None:
            self.say("220 go ahead")
            if not self._toy.keeps_commands:
                self._rest = b""
            self._connection = self._toy.context.wrap_socket(self._connection, server_side=True)
            self._in_tls = True
        elif verb == b"AUTH" and offers_login:
            self.say("334 ")
            self.line()
            self.say("501 cancelled")
        elif verb in (b"MAIL", b"RCPT"):
            self.say("250 ok")
        elif verb == b"NOOP":
            self.say(self._toy.to_noop)
        elif verb == b"DATA":
            self.say("354 go on")
            self._up_to(self._toy.ends)
            self.say(self._toy.to_message)
        elif verb == b"QUIT":
            self.say("221 bye")
            return False
        else:
            self.say("500 what?")
        return True
