"""Streams whose connections are recorded: commands, replies, TLS and the end of each."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL
from typing_extensions import override

from emailsys.client.fetch.stream import OpenStreams, StreamLost, TCPStream
from emailsys.net.tls.peer import ExpectedServer

if TYPE_CHECKING:
    from emailsys.interfaces.wiretap import ITap, IWiretap

# Octets per read. A TLS record has up to 16 KiB.
_CHUNK: Final = 256 * 1024
_STATUS: Final = (b"+OK", b"-ERR")


class TappedStream(TCPStream):
    """A stream that tells its record what it sends and receives."""

    def __init__(self, wiretap: IWiretap) -> None:
        super().__init__()
        self._tap: ITap = wiretap.begin("pop3", True)
        self._host = ""
        # An authentication exchange: its lines are secrets until the server answers with a status.
        self._in_exchange = False
        self._answer = b""

    @override
    def connect(self, host: str, port: int, seconds: float) -> None:
        self._host = host
        try:
            super().connect(host, port, seconds)
        except StreamLost as lost:
            self._tap.closed(f"no connection to {host}:{port}: {lost}")
            raise

    @override
    def _use(self, one: socket.socket) -> None:
        super()._use(one)
        self._tap.opened(_shown(one.getpeername()), _shown(one.getsockname()), self._host)

    @override
    def start_tls(self, server: ExpectedServer, seconds: float) -> None:
        try:
            super().start_tls(server, seconds)
        except StreamLost as lost:
            self._tap.closed(f"TLS handshake failed: {lost}")
            raise
        connection = self.tls
        assert connection is not None
        version, cipher = connection.get_protocol_version_name(), connection.get_cipher_name()
        self._tap.secured({"version": version, "cipher": cipher})

    @override
    def _tls_over(self, server: ExpectedServer, plain: socket.socket) -> SSL.Connection:
        server.log_keys()
        return _transported(server.connection(), plain, self._tap)

    @override
    def receive(self, seconds: float) -> bytes:
        try:
            octets = super().receive(seconds)
        except StreamLost as lost:
            self._tap.closed(str(lost))
            raise
        if octets:
            self._answer = (self._answer + octets[:4])[:4]
            self._tap.reply(octets)
        else:
            self._tap.closed("closed by the peer")
        return octets

    @override
    def send(self, octets: bytes, seconds: float) -> None:
        if octets:
            if self._answer.startswith(_STATUS):
                self._in_exchange = False
            self._answer = b""
            for line in octets.removesuffix(b"\r\n").split(b"\r\n"):
                self._tap.command(line, len(line) + 2, self._in_exchange)
                self._in_exchange = self._in_exchange or line[:5].upper() == b"AUTH "
        try:
            super().send(octets, seconds)
        except StreamLost as lost:
            self._tap.closed(str(lost))
            raise

    @override
    def close(self) -> None:
        super().close()
        self._tap.closed("closed by this host")


def tapped_streams(wiretap: IWiretap) -> OpenStreams:
    """Return a factory of streams that are recorded."""
    return OpenStreams(partial(TappedStream, wiretap))


def _shown(address: tuple[Any, ...]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _transported(connection: SSL.Connection, plain: socket.socket, tap: ITap) -> SSL.Connection:
    """Let a connection without a socket use one, as OpenSSL itself would, and tell the record the octets of TLS.

    @param plain: non-blocking. Where it is not ready, the connection raises WantReadError or WantWriteError.
    """
    unsent = bytearray()

    def flush() -> None:
        while True:
            if not unsent:
                try:
                    unsent.extend(connection.bio_read(_CHUNK))
                except SSL.WantReadError:
                    return
                tap.tls_octets(bytes(unsent), False)
            try:
                del unsent[: plain.send(unsent)]
            except BlockingIOError:
                raise SSL.WantWriteError from None

    def receive() -> None:
        try:
            octets = plain.recv(_CHUNK)
        except BlockingIOError:
            raise SSL.WantReadError from None
        if octets:
            tap.tls_octets(octets, True)
            connection.bio_write(octets)
        else:
            connection.bio_shutdown()

    def over(call: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_transport(*arguments: Any) -> Any:
            while True:
                flush()
                try:
                    found = call(*arguments)
                except SSL.WantReadError:
                    flush()
                    receive()
                except SSL.Error:
                    # The alert that tells the server why.
                    with suppress(SSL.Error, OSError):
                        flush()
                    raise
                else:
                    # What the socket does not take now goes before all that follows.
                    with suppress(SSL.WantWriteError):
                        flush()
                    return found

        return call_and_transport

    tapped: Any = connection
    for name in ("do_handshake", "recv", "send", "shutdown"):
        setattr(tapped, name, over(getattr(connection, name)))
    # `net.tls.context.log_keys` looks for it.
    tapped.hear_key_log = tap.tls_key_log
    return connection
