"""Half-close of TLS: a peer that ends its side first still receives the replies to its commands."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import providedBy
from zope.interface.declarations import Provides


@lru_cache(maxsize=64)
def _with_half_close(kind: type, provided: Any) -> Any:
    """Return the interfaces of a TLS layer with that for half-close. Making them costs a tenth of a handshake."""
    (*directly, _by_class) = provided.__bases__
    return Provides(kind, *directly, IHalfCloseableProtocol)


class HalfClosingConnection(SSL.Connection):
    """An OpenSSL connection that calls `readConnectionLost` of its protocol when the peer sends no more.

    RFC 8446 §6.1: a close_notify ends what the peer sends and has no effect on what we send; Twisted's layer would end
    both. TLS 1.2 requires pending writes to be dropped (RFC 5246 §7.2.1). We send them, because the reply to an
    accepted message may be among them. Most peers also end their side of TCP at once.
    """

    def __init__(self, context: SSL.Context, layer: Any) -> None:
        """@param layer: the TLSMemoryBIOProtocol that uses the connection."""
        super().__init__(context, None)
        self._layer = layer

    @property
    def application_protocols(self) -> frozenset[bytes]:
        """The ALPN names of the protocol that is served, for `net.tls.alpn`; empty if it has none."""
        return getattr(self._layer.wrappedProtocol, "application_protocols", frozenset())

    def do_handshake(self) -> None:
        """Do the handshake. After it, the TLS layer can be half-closed if its protocol can.

        @raise OtherProtocol: the client offered ALPN names of other protocols only.
        """
        super().do_handshake()
        protocol = self._layer.wrappedProtocol
        if IHalfCloseableProtocol.providedBy(protocol) and not IHalfCloseableProtocol.providedBy(self._layer):
            self._layer.readConnectionLost = protocol.readConnectionLost
            self._layer.writeConnectionLost = protocol.writeConnectionLost
            kind: Any = type(self._layer)
            self._layer.__provides__ = _with_half_close(kind, providedBy(self._layer))

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Read as OpenSSL does, but a close_notify ends the connection only after we have sent ours.

        @raise SSL.ZeroReturnError: both sides have sent close_notify.
        @raise SSL.WantReadError: there is nothing to read now, or the peer has sent close_notify.
        """
        try:
            return super().recv(bufsiz, flags)
        except SSL.ZeroReturnError:
            if self.get_shutdown() & SSL.SENT_SHUTDOWN or not IHalfCloseableProtocol.providedBy(self._layer):
                raise
        self._layer.readConnectionLost()
        raise SSL.WantReadError
