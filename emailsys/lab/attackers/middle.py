"""A man in the middle: relays a connection, records it, and changes lines on their way."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emailsys.lab.base.certificates import careless_client, server_context
from emailsys.lab.base.loopback import PATIENCE, LoopbackServer, connect
from emailsys.lab.base.view import View, printable
from emailsys.pki import IssuedFiles
from emailsys.wiretap.conversation import Kind, Role

_READ: Final = 65536


@dataclass(frozen=True, slots=True)
class Tampered:
    """The octets that the man in the middle passes on in place of a line, and the word for that in the record."""

    octets: bytes
    what: str


#: Returns a replacement for a line with its CRLF, or None to leave it. The flag is true for lines of the client.
Change = Callable[[bool, bytes], Tampered | None]


def leave_alone(from_client: bool, line: bytes) -> Tampered | None:
    """Changes nothing: an eavesdropper."""
    return None


class ManInTheMiddle(LoopbackServer):
    """Stands between clients and the server at a port of this machine.

    Without a certificate, TLS passes unread. With one, the TLS of the client ends here, and another TLS connection
    leads to the server.

    @param change: is applied to each line that can be read.
    """

    def __init__(
        self, port: int, protocol: str, change: Change = leave_alone, certificate: IssuedFiles | None = None
    ) -> None:
        self._target = port
        self._protocol = protocol
        self._change = change
        self._context = None if certificate is None else server_context(certificate)
        #: What was seen, one view for each connection.
        self.views: list[View] = []
        super().__init__(self._relay)

    def saw(self, octets: bytes) -> bool:
        """Returns whether these octets could be read on any connection."""
        return any(view.saw(octets) for view in self.views)

    @property
    def total(self) -> int:
        """The number of octets that passed."""
        return sum(view.total for view in self.views)

    def _relay(self, client: socket.socket) -> None:
        peer = client.getpeername()
        view = View(self._protocol, Role.SERVER, f"{peer[0]}:{peer[1]}", f"127.0.0.1:{self._target}")
        self.views.append(view)
        try:
            with connect(self._target) as server:
                _Relay(client, server, view, self._change, self._context).run()
        finally:
            view.close()


class _Relay:
    """One connection through the man in the middle."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        view: View,
        change: Change,
        context: ssl.SSLContext | None,
    ) -> None:
        self._sockets = {True: client, False: server}
        self._rest = {True: b"", False: b""}
        self._opaque = {True: False, False: False}
        self._view, self._change, self._context = view, change, context
        self._tls_requested = False

    def run(self) -> None:
        try:
            while True:
                for from_client in self._ready():
                    octets = self._receive(self._sockets[from_client])
                    if octets == b"":
                        return
                    if octets is not None:
                        self._pass(from_client, octets)
        except ssl.SSLError as error:
            self._view.note(
                Kind.TLS, f"the TLS handshake ends: {(error.reason or str(error)).lower().replace('_', ' ')}"
            )
        finally:
            for connection in self._sockets.values():
                connection.close()

    def _ready(self) -> list[bool]:
        waiting = [side for side, one in self._sockets.items() if isinstance(one, ssl.SSLSocket) and one.pending() > 0]
        if waiting:
            return waiting
        readable, _, _ = select.select(list(self._sockets.values()), [], [])
        return [side for side, one in self._sockets.items() if one in readable]

    @staticmethod
    def _receive(connection: socket.socket) -> bytes | None:
        """Returns what has arrived, b"" at the end, None if it was nothing to read, such as a session ticket of TLS."""
        connection.settimeout(0.0)
        try:
            return connection.recv(_READ)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        finally:
            connection.settimeout(PATIENCE)

    def _pass(self, from_client: bool, octets: bytes) -> None:
        rest = self._rest[from_client] + octets
        # RFC 8446 §5.1: the first record of a handshake; no line of SMTP or POP3 begins with this octet.
        if self._opaque[from_client] or (self._tls_requested and rest[:1] == b"\x16"):
            self._opaque[from_client] = True
            self._record(from_client, rest)
            self._sockets[not from_client].sendall(rest)
            self._rest[from_client] = b""
            return
        while b"\r\n" in rest:
            line, _, rest = rest.partition(b"\r\n")
            self._rest[from_client] = rest
            self._pass_line(from_client, line + b"\r\n")
        self._rest[from_client] = rest

    def _pass_line(self, from_client: bool, line: bytes) -> None:
        tampered = self._change(from_client, line)
        word = line[:4].upper()
        if from_client and (word == b"STLS" or line[:8].upper() == b"STARTTLS"):
            self._tls_requested = True
        accepted = not from_client and self._tls_requested and word in (b"220 ", b"+OK ")
        if tampered is None:
            self._record(from_client, line)
            self._sockets[not from_client].sendall(line)
        elif tampered.octets.startswith(line):
            self._record(from_client, line)
            self._record(from_client, tampered.octets.removeprefix(line), tampered=tampered.what)
            self._sockets[not from_client].sendall(tampered.octets)
        else:
            self._record(from_client, tampered.octets, tampered=tampered.what, was=printable(line.rstrip(b"\r\n")))
            self._sockets[not from_client].sendall(tampered.octets)
        if accepted and self._context is not None and not isinstance(self._sockets[True], ssl.SSLSocket):
            self._open(self._context)

    def _open(self, context: ssl.SSLContext) -> None:
        """Ends TLS on both sides, so that all that follows can be read."""
        self._sockets[False] = careless_client().wrap_socket(self._sockets[False])
        self._view.note(Kind.TLS, "TLS with the real server")
        self._sockets[True] = context.wrap_socket(self._sockets[True], server_side=True)
        self._view.decrypted("TLS with the client, by the attacker's certificate: what follows can be read")

    def _record(self, from_client: bool, octets: bytes, **details: str) -> None:
        if from_client:
            self._view.from_client(octets, **details)
        else:
            self._view.from_server(octets, **details)
