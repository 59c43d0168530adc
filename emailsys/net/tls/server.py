"""TLS for servers: contexts for several certificates, chosen by server name, replaced while the daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from emailsys.net.tls.context import TLSConfigError, new_context
from emailsys.net.tls.files import CertificatePair, read_pair
from emailsys.net.tls.half_close import HalfClosingConnection

if TYPE_CHECKING:
    from emailsys.config.settings import CertificateFiles

__all__ = ["ServerTLS", "TLSConfigError", "describe"]


def _server_context(pairs: Sequence[CertificatePair]) -> SSL.Context:
    context = new_context()
    # Sessions are resumed by tickets, which cost us no memory. Their keys live as long as the context: `reload` renews
    # them, so that a TLS 1.2 ticket cannot open old recordings for ever (RFC 9325 §4.3.1).
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    for pair in pairs:
        try:
            # By file: it sets the chain for this certificate alone, where add_extra_chain_cert would for all.
            context.use_certificate_chain_file(str(pair.files.chain))
            context.use_privatekey(pair.key)
            context.check_privatekey()
        except SSL.Error as error:
            reasons = ", ".join(str(part[-1]) for part in error.args[0]) if error.args else "unknown reason"
            raise TLSConfigError(f"{pair.files.chain}: OpenSSL refuses certificate or key: {reasons}") from error
    return context


class _Contexts:
    """The immutable contexts of one set of certificates. A reload makes a new object."""

    def __init__(self, pairs: Sequence[CertificatePair]) -> None:
        self.pairs = tuple(pairs)
        self._made: dict[tuple[CertificatePair, ...], SSL.Context] = {}
        first = pairs[0]
        # For a client that names no server or one we do not know: the first certificate, and certificates of other
        # kinds for the same server.
        self.default = self._context([first, *(pair for pair in pairs if first.names and pair.covers(first.names[0]))])
        self.default.set_tlsext_servername_callback(self._choose)
        self._by_name = {
            name: self._context(
                [pair for pair in pairs if name in pair.names] + [pair for pair in pairs if pair.covers(name)]
            )
            for pair in pairs
            for name in pair.names
        }

    def _context(self, pairs: Sequence[CertificatePair]) -> SSL.Context:
        """Return the context with the first certificate of each kind."""
        by_kind: dict[str, CertificatePair] = {}
        for pair in pairs:
            by_kind.setdefault(pair.kind, pair)
        chosen = tuple(by_kind.values())
        if chosen not in self._made:
            self._made[chosen] = _server_context(chosen)
        return self._made[chosen]

    def for_name(self, name: str) -> SSL.Context:
        """Return the context for a server name: an exact match, a wildcard match, or the default."""
        name = name.lower().removesuffix(".")
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name.get(f"*.{name.partition('.')[2]}", self.default)
        return found

    def _choose(self, connection: SSL.Connection) -> None:
        # RFC 6066 §3. An unknown name gets the default certificate: a mail client that does not verify goes on, one
        # that does tells its user more than an alert would.
        name = connection.get_servername()
        if name:
            context = self.for_name(name.decode("ascii", "replace"))
            if context is not self.default:
                connection.set_context(context)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """TLS options of the server, for `transport.startTLS` and TLSMemoryBIOFactory.

    Contexts are built here and in `reload`, never for a connection. A connection keeps its first context.
    """

    def __init__(self, certificates: Sequence[CertificateFiles], now: Callable[[], datetime] = _utc_now) -> None:
        """
        @param certificates: the default first; certificates for the same names with keys of other kinds are served
            beside it.
        @raise TLSConfigError: one of them cannot be served.
        """
        self._now = now
        self.certificates: tuple[CertificateFiles, ...] = ()
        self._contexts = self._build(certificates)
        self.certificates = tuple(certificates)

    def _build(self, certificates: Sequence[CertificateFiles]) -> _Contexts:
        if not certificates:
            raise TLSConfigError("no certificate is configured: name a chain and a key")
        now = self._now()
        return _Contexts([read_pair(files, now) for files in certificates])

    def reload(self, certificates: Sequence[CertificateFiles] | None = None) -> None:
        """Read the certificate files anew, or others in their place, and serve them from the next handshake on.

        To be called when certificates were renewed and in any case once a day, for it also renews the ticket keys.

        @raise TLSConfigError: one cannot be served; those in use stay.
        """
        chosen = self.certificates if certificates is None else tuple(certificates)
        self._contexts = self._build(chosen)
        self.certificates = chosen

    @property
    def not_valid_after(self) -> datetime:
        """The earliest expiry of the certificates in use."""
        return min(pair.leaf.not_valid_after_utc for pair in self._contexts.pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """The server names that have a certificate, in order."""
        return tuple(dict.fromkeys(name for pair in self._contexts.pairs for name in pair.names))

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return a connection whose handshake has not begun."""
        return HalfClosingConnection(self._contexts.default, tlsProtocol)


def describe(transport: object) -> str | None:
    """Version and cipher suite of a connection, as "TLSv1.3 TLS_AES_256_GCM_SHA384"; None in the clear and before the
    handshake is done."""
    get_handle = getattr(transport, "getHandle", None)
    connection = get_handle() if callable(get_handle) else None
    if not isinstance(connection, SSL.Connection):
        return None
    cipher = connection.get_cipher_name()
    return f"{connection.get_protocol_version_name()} {cipher}" if cipher else None
