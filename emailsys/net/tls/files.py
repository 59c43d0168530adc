"""Certificate files: read a chain and its key, and report clearly why they cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from emailsys.net.tls.context import TLSConfigError

if TYPE_CHECKING:
    from emailsys.config.settings import CertificateFiles

ServerKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# RFC 9325 §4.5: shorter RSA keys are refused by clients, and by OpenSSL when it comes to the handshake.
_MIN_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True, eq=False)
class CertificatePair:
    """A valid certificate chain with its key."""

    files: CertificateFiles
    leaf: x509.Certificate
    key: ServerKey
    #: The DNS names of the certificate in lower case, wildcards too, in its order.
    names: tuple[str, ...]

    @property
    def kind(self) -> str:
        """RSA, ECDSA or Ed25519: one context holds one pair of each kind."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return "RSA"
        return "ECDSA" if isinstance(self.key, ec.EllipticCurvePrivateKey) else "Ed25519"

    def covers(self, name: str) -> bool:
        """Whether the certificate has that name, itself or by a wildcard for its first label (RFC 9525 §6.3)."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names


def _octets(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TLSConfigError(f"{path}: there is no such {what} file: correct the path, or put the file there") from None
    except OSError as error:
        raise TLSConfigError(
            f"{path}: the {what} cannot be read ({error.strerror}): let the user of the daemon read it"
        ) from error


def _read_chain(path: Path) -> list[x509.Certificate]:
    octets = _octets(path, "certificate")
    try:
        return x509.load_pem_x509_certificates(octets)
    except ValueError as error:
        if b"PRIVATE KEY-----" in octets and b"BEGIN CERTIFICATE" not in octets:
            raise TLSConfigError(f"{path}: holds a key, not a certificate: are chain and key exchanged?") from error
        raise TLSConfigError(f"{path}: holds no certificate in PEM form, or a damaged one") from error


def _read_key(path: Path) -> ServerKey:
    octets = _octets(path, "key")
    try:
        key = load_pem_private_key(octets, password=None)
    except TypeError as error:
        raise TLSConfigError(
            f"{path}: the key is protected by a passphrase, which a daemon cannot type: store it without "
            "(openssl pkey -in OLD -out NEW) in a file that only its user can read"
        ) from error
    except ValueError as error:
        if b"BEGIN CERTIFICATE" in octets and b"PRIVATE KEY-----" not in octets:
            raise TLSConfigError(f"{path}: holds a certificate, not a key: are chain and key exchanged?") from error
        raise TLSConfigError(f"{path}: holds no private key in PEM form, or a damaged one") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise TLSConfigError(f"{path}: is neither an RSA nor an ECDSA nor an Ed25519 key")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _MIN_RSA_BITS:
        raise TLSConfigError(f"{path}: an RSA key of {key.key_size} bits is too weak: use {_MIN_RSA_BITS} or more")
    return key


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))


def read_pair(files: CertificateFiles, now: datetime) -> CertificatePair:
    """Read and check a certificate chain and its key.

    @raise TLSConfigError: a file is missing, unreadable or damaged, the two do not belong together, or the certificate
        is not valid at that moment.
    """
    chain = _read_chain(files.chain)
    key = _read_key(files.key)
    leaf, public = chain[0], key.public_key()
    if leaf.public_key() != public:
        if any(certificate.public_key() == public for certificate in chain[1:]):
            raise TLSConfigError(
                f"{files.chain}: the server's certificate must come first, before those of its issuers"
            )
        raise TLSConfigError(f"{files.key}: this key does not belong to the certificate in {files.chain}")
    if leaf.not_valid_after_utc < now:
        raise TLSConfigError(
            f"{files.chain}: the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: renew it"
        )
    if leaf.not_valid_before_utc > now:
        raise TLSConfigError(
            f"{files.chain}: the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: "
            "check the clock of this machine"
        )
    return CertificatePair(files, leaf, key, _dns_names(leaf))
