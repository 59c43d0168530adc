"""TLS for clients on Twisted's transports."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from emailsys.net.tls.peer import ExpectedServer


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """What `transport.startTLS` and TLSMemoryBIOFactory take on the client's side, for one server."""

    def __init__(self, server: ExpectedServer) -> None:
        self._server = server

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that has not yet begun its handshake."""
        return self._server.connection()


def client_context(host: str, ca_file: Path | None = None, *, verify: bool = True, fingerprint: str = "") -> ClientTLS:
    """TLS to a server, with the parameters of ExpectedServer. @raise TLSConfigError: the file or name is of no use."""
    return ClientTLS(ExpectedServer(host, ca_file, verify=verify, fingerprint=fingerprint))
