"""TLS for servers: contexts for several certificates, chosen by server name, replaced while the daemon runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from emailsys.net.tls.alpn import choose_protocol
from emailsys.net.tls.context import TLSConfigError, log_keys, new_context
from emailsys.net.tls.files import CertificatePair, read_pair
from emailsys.net.tls.half_close import HalfClosingConnection

if TYPE_CHECKING:
    from emailsys.config.settings import CertificateFiles

__all__ = ["ServerTLS", "TLSConfigError", "describe"]


def _server_context(pairs: Sequence[CertificatePair], has_key_log: bool = False) -> SSL.Context:
    context = new_context()
    if has_key_log:
        log_keys(context)
    # Sessions are resumed by tickets, which cost us no memory. Their keys live as long as the context: `reload` renews
    # them, so that a TLS 1.2 ticket cannot open old recordings for ever (RFC 9325 §4.3.1).
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # SMTP and POP3 share the contexts; the connection knows its protocol.
    context.set_alpn_select_callback(choose_protocol)
    for pair in pairs:
        try:
            _use_chain(context, pair)
            context.use_privatekey(pair.key)
            context.check_privatekey()
        except SSL.Error as error:
            reasons = ", ".join(str(part[-1]) for part in error.args[0]) if error.args else "unknown reason"
            raise TLSConfigError(f"{pair.files.chain}: OpenSSL refuses certificate or key: {reasons}") from error
    return context


def _use_chain(context: SSL.Context, pair: CertificatePair) -> None:
    """Set the chain for this certificate alone; add_extra_chain_cert would set it for all of the context.

    OpenSSL takes a chain for one certificate only from a file, so what was read is written to a temporary file.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="emailsys-") as folder:
            path = Path(folder, "chain.pem")
            path.write_bytes(pair.chain)
            context.use_certificate_chain_file(str(path))
    except OSError:
        # Without a temporary folder, the file itself must do. OpenSSL reads it less leniently.
        context.use_certificate_chain_file(str(pair.files.chain))


class _Contexts:
    """The immutable contexts of one set of certificates. A reload makes a new object."""

    def __init__(self, pairs: Sequence[CertificatePair], now: datetime, has_key_log: bool = False) -> None:
        self.pairs = tuple(pairs)
        self._has_key_log = has_key_log
        self._now = now
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
        """Return the context with the best certificate of each kind. An invalid one is served if no other is there."""
        valid = [pair for pair in pairs if pair.why_invalid(self._now) is None]
        by_kind: dict[str, CertificatePair] = {}
        for pair in sorted(valid or pairs, key=lambda pair: bool(pair.uncommon)):
            by_kind.setdefault(pair.kind, pair)
        chosen = tuple(by_kind.values())
        if chosen not in self._made:
            self._made[chosen] = _server_context(chosen, self._has_key_log)
        return self._made[chosen]

    def for_name(self, name: str) -> SSL.Context:
        """Return the context for a server name: an exact match, a wildcard match, or the default."""
        name = name.lower().removesuffix(".")
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name.get(f"*.{name.partition('.')[2]}", self.default)
        return found

    def _choose(self, connection: SSL.Connection) -> None:
        # RFC 6066 §3. An unknown name gets the default certificate: a client that does not verify continues, and one
        # that verifies can show its user more than an alert could.
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
            beside it. One that cannot be served is left out, see `refused`.
        @raise TLSConfigError: none of them can be served.
        """
        self._now = now
        #: Why certificates of the last reading are not served, a sentence for each.
        self.refused: tuple[str, ...] = ()
        self.certificates: tuple[CertificateFiles, ...] = ()
        self._contexts = self._build(certificates, {})
        # Those with a key log, for connections that are recorded, and the contexts that they are like.
        self._logged: tuple[_Contexts, _Contexts] | None = None
        self.certificates = tuple(certificates)

    def _build(
        self, certificates: Sequence[CertificateFiles], kept: Mapping[CertificateFiles, CertificatePair]
    ) -> _Contexts:
        if not certificates:
            raise TLSConfigError("no certificate is configured: set chain and key")
        now = self._now()
        pairs: list[CertificatePair] = []
        refused: list[str] = []
        for files in certificates:
            before = kept.get(files)
            try:
                pair = read_pair(files)
                # OpenSSL may refuse what could be read.
                _server_context([pair])
            except TLSConfigError as error:
                refused.append(str(error))
                if before is not None:
                    pairs.append(before)
                continue
            invalid = pair.why_invalid(now)
            if invalid is not None and before is not None and before.why_invalid(now) is None:
                refused.append(invalid)
                pair = before
            pairs.append(pair)
        if not pairs:
            raise TLSConfigError("; ".join(refused))
        contexts = _Contexts(pairs, now)
        self.refused = tuple(refused)
        return contexts

    def reload(self, certificates: Sequence[CertificateFiles] | None = None) -> None:
        """Read the certificate files again, or other files in their place, and serve them from the next handshake on.

        A pair that cannot be served keeps its former certificate, if it has one; the other pairs are renewed. Call this
        when certificates were renewed, and at least once a day, because it also renews the ticket keys.

        @raise TLSConfigError: none can be served; those in use stay.
        """
        chosen = self.certificates if certificates is None else tuple(certificates)
        self._contexts = self._build(chosen, {pair.files: pair for pair in self._contexts.pairs})
        self.certificates = chosen

    @property
    def pairs(self) -> tuple[CertificatePair, ...]:
        """The certificates in use, in the order of the settings."""
        return self._contexts.pairs

    @property
    def not_valid_after(self) -> datetime:
        """The earliest expiry of the certificates in use."""
        return min(pair.leaf.not_valid_after_utc for pair in self._contexts.pairs)

    def concerns(self) -> list[str]:
        """Return what an operator should know about the certificates in use, a sentence for each."""
        now = self._now()
        return [concern for pair in self.pairs for concern in pair.concerns(now)]

    def notices(self) -> dict[str, str]:
        """Return what must be renewed or repaired, a sentence for each. Its key stays the same from day to day."""
        now = self._now()
        found = {f"refused {why}": why for why in self.refused}
        for pair in self.pairs:
            which = pair.leaf.fingerprint(SHA256()).hex()
            for kind, why in (("invalid", pair.why_invalid(now)), ("near its end", pair.why_renew(now))):
                if why is not None:
                    found[f"{kind} {which}"] = why
        return found

    def invalid(self) -> list[str]:
        """Return why clients reject certificates in use at this moment, a sentence for each."""
        now = self._now()
        return [why for pair in self.pairs if (why := pair.why_invalid(now)) is not None]

    @property
    def names(self) -> tuple[str, ...]:
        """The server names that have a certificate, in order."""
        return tuple(dict.fromkeys(name for pair in self._contexts.pairs for name in pair.names))

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return a connection whose handshake has not begun."""
        return HalfClosingConnection(self._contexts.default, tlsProtocol)

    def with_key_log(self) -> _LoggedTLS:
        """Return a creator like this one whose connections pass their key log on, as `context.log_keys` says.

        Its contexts are built when they are first needed, and again after a reload.
        """
        if self._logged is None or self._logged[0] is not self._contexts:
            self._logged = self._contexts, _Contexts(self._contexts.pairs, self._now(), has_key_log=True)
        return _LoggedTLS(self._logged[1])


@implementer(IOpenSSLServerConnectionCreator)
class _LoggedTLS:
    """TLS options of the server for connections that are recorded."""

    def __init__(self, contexts: _Contexts) -> None:
        self._contexts = contexts

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
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
