"""A small mail host on a loopback port, which says and does what a test tells it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, ISSLTransport
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure


class HostProtocol(LineReceiver):
    """One connection to it."""

    host: LoopbackHost
    _mute = False
    MAX_LENGTH = 1 << 20
    _in_body = False

    def connectionMade(self) -> None:
        self.host.connections.append(self)
        self._say(self.host.replies.get("CONNECT", "220 loopback ESMTP"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.host.connections.remove(self)

    def _say(self, reply: str) -> None:
        if reply == "drop":
            self._transport.abortConnection()
        elif reply == "silence":
            self._mute = True
        elif not self._mute:
            self.sendLine(reply.encode())

    @property
    def _transport(self) -> Any:
        return self.transport

    def lineReceived(self, line: bytes) -> None:
        if self._in_body:
            if line == b".":
                self._in_body = False
                self.host.messages.append(
                    (b"\r\n".join(self._lines) + b"\r\n", ISSLTransport.providedBy(self.transport))
                )
                self._say(self.host.replies.get(".", "250 2.0.0 taken"))
            else:
                self._lines.append(line[1:] if line.startswith(b".") else line)
            return
        words = line.split()
        verb = words[0].decode("latin-1").upper() if words else ""
        self.host.verbs.append(verb)
        usual = {"EHLO": self._ehlo(), "DATA": "354 go", "STARTTLS": "220 go", "QUIT": "221 bye"}.get(verb, "250 ok")
        reply = self.host.replies.get(verb, usual)
        self._say(reply)
        if reply.startswith("354"):
            self._in_body = True
            self._lines: list[bytes] = []
        elif verb == "STARTTLS" and reply.startswith("220"):
            if self.host.tls is None:
                self.setRawMode()
            else:
                self._transport.startTLS(self.host.tls)
        elif verb == "QUIT":
            self._transport.loseConnection()

    def rawDataReceived(self, data: bytes) -> None:
        self._transport.write(b"this is no TLS\r\n" * 10)

    def _ehlo(self) -> str:
        offered = ["loopback", "PIPELINING", "8BITMIME"]
        if self.host.offers_tls and not ISSLTransport.providedBy(self.transport):
            offered.append("STARTTLS")
        lines = [f"250-{word}" for word in offered[:-1]]
        return "\r\n".join([*lines, f"250 {offered[-1]}"])


class LoopbackHost(ServerFactory):
    """`replies` has replies by verb, CONNECT and "." among them; "drop" aborts, "silence" says nothing. STARTTLS is
    offered where `offers_tls`, and without `tls` what follows it is no TLS. `messages` has what was taken, each with
    whether it came by TLS."""

    noisy = False

    def __init__(self, tls: IOpenSSLServerConnectionCreator | None = None, offers_tls: bool = False) -> None:
        self.tls = tls
        self.offers_tls = offers_tls or tls is not None
        self.replies: dict[str, str] = {}
        self.messages: list[tuple[bytes, bool]] = []
        self.connections: list[HostProtocol] = []
        #: The commands of all connections, in capitals.
        self.verbs: list[str] = []

    def buildProtocol(self, addr: object) -> Any:
        protocol = HostProtocol()
        protocol.host = self
        return protocol
