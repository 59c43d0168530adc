"""Verification of server certificates and names by service-identity, with clear errors."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from pathlib import Path
from typing import Final

import idna
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity

from emailsys.net.tls.context import USUAL_HELLO, HelloOptions, TLSConfigError, log_keys, new_client_context

# Of openssl/x509_vfy.h.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
_REVOKED: Final = 23
_OTHER: Final = {
    7: "its signature is wrong",
    22: "its chain is too long",
    24: "one of its issuers is no authority",
    26: "it is not meant for servers",
    66: "its key is too weak",
    67: "the key of an issuer is too weak",
    68: "it is signed with a digest that is too weak",
}


class PeerCertificateError(SSL.Error):
    """The certificate of a server was rejected. The message says why. It is the reason of `connectionLost`."""

    def __init__(self, message: str) -> None:
        # In the form of OpenSSL's error queue, which Twisted's TLS layer looks into.
        super().__init__([("emailsys", "verify", message)])
        self.message = message

    def __str__(self) -> str:
        return self.message


class _ServerName:
    """The name or address that a server certificate must have, or the fingerprint that is compared instead."""

    def __init__(self, host: str, fingerprint: str = "") -> None:
        self.shown = host
        self.fingerprint = fingerprint
        self.server_name: bytes | None = None
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            try:
                ascii_name = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
                self.identity: DNS_ID | IPAddress_ID = DNS_ID(ascii_name.removesuffix("."))
            except (ValueError, idna.IDNAError) as error:
                raise TLSConfigError(f"{host!r} is not the name of a server: {error}") from error
            # RFC 6066 §3: a name without the final dot, never an address.
            self.server_name = ascii_name.removesuffix(".").encode("ascii")
        else:
            self.identity = IPAddress_ID(str(address))

    def check(self, certificate: crypto.X509) -> None:
        """
        @raise PeerCertificateError: the certificate is for other names.
        """
        if self.fingerprint:
            found = fingerprint_of(certificate)
            if found != self.fingerprint:
                raise PeerCertificateError(
                    f"the certificate of {self.shown} is not the pinned one: its fingerprint is {found}"
                )
            return
        patterns = []
        try:
            patterns = list(extract_patterns(certificate.to_cryptography()))
            verify_service_identity(patterns, [self.identity], [])
        except (VerificationError, CertificateError) as error:
            names = ", ".join(_pattern_text(pattern) for pattern in patterns) or "no name at all"
            raise PeerCertificateError(f"the certificate of {self.shown} is for {names}") from error


def _pattern_text(pattern: object) -> str:
    value = getattr(pattern, "pattern", pattern)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def fingerprint_of(certificate: crypto.X509) -> str:
    """The SHA-256 of a certificate as DER, in 64 lower-case hexadecimal digits."""
    return certificate.digest("sha256").decode("ascii").replace(":", "").lower()


def _common_name(name: crypto.X509Name) -> str:
    return name.CN or name.O or "an unnamed issuer"


def _complaint(host: str, certificate: crypto.X509, code: int, depth: int) -> str:
    """Describe an error of OpenSSL about a certificate of the chain; depth 0 is the certificate of the server."""
    which = f"the certificate of {host}"
    if depth:
        which += f" is issued by {_common_name(certificate.get_subject())}, whose certificate"
    facts = certificate.to_cryptography()
    if code == _EXPIRED:
        return f"{which} expired on {facts.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if code == _NOT_YET_VALID:
        return f"{which} is not valid before {facts.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if code in _UNKNOWN_ISSUER:
        issuer = _common_name(certificate.get_issuer())
        return f"the certificate of {host} is not trusted: its issuer, {issuer}, is not among the trusted authorities"
    return f"{which} is refused: {_OTHER.get(code, f'X.509 error {code}')}"


class _VerifyingConnection(SSL.Connection):
    """A connection with the server that it expects. Its application data belong to the TLS layer of Twisted."""

    def __init__(self, context: SSL.Context, name: _ServerName, over: socket.socket | None) -> None:
        super().__init__(context, over)
        self.expected = name


def _verify(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
    # do_handshake of pyOpenSSL raises what is raised here. The TLS layer of Twisted sends the alert, then passes any
    # SSL.Error to connectionLost as its reason.
    assert isinstance(connection, _VerifyingConnection)
    name = connection.expected
    if name.fingerprint:
        # OpenSSL always calls for depth 0, and last, whether the chain is complete or not.
        if depth == 0:
            name.check(certificate)
        return True
    if not ok:
        raise PeerCertificateError(_complaint(name.shown, certificate, code, depth))
    if depth == 0:
        name.check(certificate)
    return True


@lru_cache(maxsize=16)
def _context(
    ca_file: Path | None, verify: bool, changed_at: int, hello: HelloOptions, has_key_log: bool = False
) -> SSL.Context:
    """Return the context for a set of authorities. Cached, because reading those of the system takes 20 ms."""
    context = new_client_context(hello)
    if has_key_log:
        log_keys(context)
    if not verify:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    if ca_file is None:
        context.set_default_verify_paths()
    else:
        try:
            context.load_verify_locations(str(ca_file))
        except SSL.Error as error:
            raise TLSConfigError(f"{ca_file}: contains no certificate of an authority in PEM form") from error
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    return context


class ExpectedServer:
    """The server that a client expects: its name, and the authorities or the fingerprint that prove its identity."""

    def __init__(
        self,
        host: str,
        ca_file: Path | None = None,
        *,
        verify: bool = True,
        fingerprint: str = "",
        hello: HelloOptions = USUAL_HELLO,
    ) -> None:
        """
        @param host: a host name or an IP address.
        @param ca_file: the authorities to trust, PEM; None for those of the system.
        @param verify: False accepts any certificate, for opportunistic TLS (RFC 7435) and for tests of servers.
        @param fingerprint: as `fingerprint_of` gives it: the certificate to be trusted, whatever it says, and no other.
        @param hello: what the ClientHello offers.
        @raise TLSConfigError: the file or the name is invalid.
        """
        changed_at = 0
        if ca_file is not None:
            try:
                changed_at = ca_file.stat().st_mtime_ns
                if not ca_file.is_file():
                    # OpenSSL would wait for the other end of a pipe.
                    raise TLSConfigError(f"{ca_file}: holds no authorities to trust, because it is no file")
            except OSError as error:
                raise TLSConfigError(f"{ca_file}: the authorities to trust cannot be read: {error.strerror}") from error
        self._terms = ca_file, verify, changed_at, hello
        self._context = _context(*self._terms)
        self._name = _ServerName(host, fingerprint)

    def log_keys(self) -> None:
        """Let connections pass their key log on, as `context.log_keys` says."""
        self._context = _context(*self._terms, has_key_log=True)

    def connection(self, over: socket.socket | None = None) -> SSL.Connection:
        """Return a connection whose handshake has not begun. For another server, it raises PeerCertificateError.

        @param over: a connected socket; None for a connection whose octets the caller transports.
        """
        connection = _VerifyingConnection(self._context, self._name, over)
        if self._name.server_name is not None:
            connection.set_tlsext_host_name(self._name.server_name)
        return connection
