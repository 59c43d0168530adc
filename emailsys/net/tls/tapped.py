"""TLS of a connection that is recorded: tells its octets before and after encryption, and its key log."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

from emailsys.interfaces.wiretap import ITap


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class TappedTLS:
    """Creates connections as another creator does, and tells the record what passes through them."""

    def __init__(self, creator: Any, tap: ITap) -> None:
        """@param creator: with a key log if it has the method `with_key_log`."""
        with_key_log = getattr(creator, "with_key_log", None)
        self._creator = creator if with_key_log is None else with_key_log()
        self._tap = tap

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return _tapped(self._creator.serverConnectionForTLS(tlsProtocol), self._tap)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return _tapped(self._creator.clientConnectionForTLS(tlsProtocol), self._tap)


@implementer(IOpenSSLServerConnectionCreator)
class ImplicitTLS:
    """Creates connections of a port with TLS from the first octet; those of recorded sessions tell their record."""

    def __init__(self, creator: IOpenSSLServerConnectionCreator) -> None:
        self._creator = creator

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        tap = getattr(getattr(tlsProtocol.wrappedProtocol, "connection", None), "tap", None)
        creator = self._creator if tap is None else TappedTLS(self._creator, tap)
        return creator.serverConnectionForTLS(tlsProtocol)


def _tapped(connection: Any, tap: ITap) -> SSL.Connection:
    """Put the record between the TLS layer of Twisted, which transports octets, and OpenSSL."""
    read, write = connection.bio_read, connection.bio_write

    def read_and_tell(size: int) -> bytes:
        octets: bytes = read(size)
        tap.tls_octets(octets, False)
        return octets

    def tell_and_write(octets: bytes) -> int:
        tap.tls_octets(octets, True)
        written: int = write(octets)
        return written

    connection.bio_read, connection.bio_write = read_and_tell, tell_and_write
    # `context.log_keys` looks for it.
    connection.hear_key_log = tap.tls_key_log
    tapped: SSL.Connection = connection
    return tapped
