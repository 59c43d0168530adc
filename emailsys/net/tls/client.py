"""TLS for clients on Twisted's transports."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from emailsys.mail.next_hop import ExpectedTLS
from emailsys.net.tls.context import HelloOptions
from emailsys.net.tls.peer import ExpectedServer


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """TLS options of a client for one server, for `transport.startTLS` and TLSMemoryBIOFactory."""

    def __init__(self, server: ExpectedServer) -> None:
        self._server = server

    def with_key_log(self) -> ClientTLS:
        """Return these options with a key log, for a connection that is recorded."""
        self._server.log_keys()
        return self

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return a connection whose handshake has not begun."""
        return self._server.connection()


def client_context(host: str, ca_file: Path | None = None, *, verify: bool = True, fingerprint: str = "") -> ClientTLS:
    """Return TLS options for a server, see ExpectedServer. @raise TLSConfigError: the file or the name is invalid."""
    return ClientTLS(ExpectedServer(host, ca_file, verify=verify, fingerprint=fingerprint))


def client_tls(expected: ExpectedTLS, ca_file: Path | None = None, session_tickets: bool = True) -> ClientTLS:
    """Return TLS options for the host of a next hop.

    @param session_tickets: whether the ClientHello offers session tickets (RFC 5077).
    @raise TLSConfigError: the file or the name is invalid.
    """
    hello = HelloOptions(x25519_only=expected.x25519_only, session_tickets=session_tickets)
    verify, fingerprint = expected.is_verified, expected.fingerprint
    return ClientTLS(ExpectedServer(expected.name, ca_file, verify=verify, fingerprint=fingerprint, hello=hello))
