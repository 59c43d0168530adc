"""Certificate files: read a chain and its key, and report clearly why they cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
from OpenSSL import crypto

from emailsys.net.tls import pem
from emailsys.net.tls.context import TLSConfigError

if TYPE_CHECKING:
    from emailsys.config.settings import CertificateFiles

ServerKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# RFC 9325 §4.5: clients refuse shorter RSA keys, and OpenSSL does in the handshake.
_MIN_RSA_BITS: Final = 2048
# NID_rsassaPss of openssl/obj_mac.h: a key that signs with RSA-PSS only. cryptography reads it as an RSA key.
_RSA_PSS: Final = 912
# RFC 8446 §4.2.3: the curves of certificates that TLS 1.3 has, and that mail programs take.
_COMMON_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
# Octets. A chain has some 10 KiB; a mistyped path may name a log.
_MOST_OCTETS: Final = 1024 * 1024
# Certificates of 90 days are commonly renewed 30 days before their end; with 14 days left, a renewal has failed.
_NEAR_END: Final = timedelta(days=14)
# What cryptography raises for a certificate that cannot be parsed; it parses some parts only when they are read.
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_NEW_KEY: Final = "make a new key (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256) and a certificate"


@dataclass(frozen=True, slots=True, eq=False)
class CertificatePair:
    """A certificate chain with its key, as octets in memory: the files may be replaced at any time."""

    files: CertificateFiles
    leaf: x509.Certificate
    key: crypto.PKey
    #: RSA, RSA-PSS, ECDSA or Ed25519: one context holds one pair of each kind.
    kind: str
    #: PEM: the leaf, then its issuers.
    chain: bytes
    #: The DNS names of the certificate in lower case, wildcards too, in its order.
    names: tuple[str, ...]
    #: Why many clients refuse this kind of key; "" if they do not.
    uncommon: str

    def covers(self, name: str) -> bool:
        """Whether the certificate has that name, itself or by a wildcard for its first label (RFC 9525 §6.3)."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names

    def why_invalid(self, now: datetime) -> str | None:
        """Return why clients reject the certificate at that moment, None if it is valid."""
        if self.leaf.not_valid_after_utc < now:
            ended = f"{self.leaf.not_valid_after_utc:%Y-%m-%d %H:%M}"
            return f"{self.files.chain}: the certificate expired on {ended} UTC: renew it"
        if self.leaf.not_valid_before_utc > now:
            begins = f"{self.leaf.not_valid_before_utc:%Y-%m-%d %H:%M}"
            return (
                f"{self.files.chain}: the certificate is not valid before {begins} UTC: check the clock of this machine"
            )
        return None

    def why_renew(self, now: datetime) -> str | None:
        """Return when the certificate expires if that is soon, else None."""
        left = self.leaf.not_valid_after_utc - now
        if not timedelta() <= left < _NEAR_END:
            return None
        ends = f"{self.leaf.not_valid_after_utc:%Y-%m-%d %H:%M}"
        return f"{self.files.chain}: the certificate expires on {ends} UTC, in {_days(left)}: renew it"

    def concerns(self, now: datetime) -> list[str]:
        """Return what an operator should know about a valid certificate, a sentence for each."""
        renew = self.why_renew(now)
        return [
            *([f"{self.files.chain}: {self.uncommon}"] if self.uncommon else ()),
            *([renew] if renew is not None else ()),
        ]


def _days(left: timedelta) -> str:
    return "less than a day" if left.days == 0 else "1 day" if left.days == 1 else f"{left.days} days"


def _octets(path: Path, what: str) -> bytes:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # Opening a pipe would wait for another program.
            raise TLSConfigError(f"{path}: is a pipe or a device and no {what} file: correct the path")
        with path.open("rb") as file:
            octets = file.read(_MOST_OCTETS + 1)
    except FileNotFoundError:
        raise TLSConfigError(f"{path}: there is no such {what} file: correct the path, or put the file there") from None
    except OSError as error:
        raise TLSConfigError(
            f"{path}: the {what} cannot be read ({error.strerror}): let the user of the daemon read it"
        ) from error
    if len(octets) > _MOST_OCTETS:
        raise TLSConfigError(f"{path}: has more than {_MOST_OCTETS} octets, so it is no {what} file: correct the path")
    return octets


def read_chain(path: Path) -> list[x509.Certificate]:
    """Read the certificates of a file, in its order.

    @raise TLSConfigError: it cannot be read, or has none.
    """
    octets = _octets(path, "certificate")
    found = pem.blocks(octets, b"CERTIFICATE")
    try:
        if not found and octets.startswith(b"0"):
            # Some authorities deliver DER, whose first octet is that of a SEQUENCE.
            return [x509.load_der_x509_certificate(octets)]
        return x509.load_pem_x509_certificates(b"".join(found))
    except _UNREADABLE as error:
        if pem.blocks(octets, b"PKCS7"):
            way = f"openssl pkcs7 -print_certs -in {path}"
            raise TLSConfigError(f"{path}: holds certificates as PKCS #7: convert them with: {way}") from error
        if not found and pem.blocks(octets, b"PRIVATE KEY"):
            raise TLSConfigError(f"{path}: holds a key, not a certificate: are chain and key exchanged?") from error
        raise TLSConfigError(
            f"{path}: holds no certificate in PEM form, or a damaged one: copy the whole file again"
        ) from error


def _read_key(path: Path) -> tuple[ServerKey, crypto.PKey]:
    """Return the key in the form of each of the two libraries."""
    octets = _octets(path, "key")
    found = pem.blocks(octets, b"PRIVATE KEY")
    try:
        key: PrivateKeyTypes
        if not found and octets.startswith(b"0"):
            key = load_der_private_key(octets, password=None)
            made = crypto.load_privatekey(crypto.FILETYPE_ASN1, octets)
        else:
            octets = found[0] if found else octets
            key = load_pem_private_key(octets, password=None)
            # From the file again: it tells an RSA-PSS key from an RSA key.
            made = crypto.load_privatekey(crypto.FILETYPE_PEM, octets)
    except TypeError as error:
        raise TLSConfigError(
            f"{path}: the key is protected by a passphrase, which a daemon cannot type: store it without "
            "(openssl pkey -in OLD -out NEW) in a file that only its user can read"
        ) from error
    except UnsupportedAlgorithm as error:
        raise TLSConfigError(f"{path}: no client takes this kind of key ({error}): {_NEW_KEY}") from error
    except (ValueError, crypto.Error) as error:
        if pem.blocks(octets, b"CERTIFICATE") and not found:
            raise TLSConfigError(f"{path}: holds a certificate, not a key: are chain and key exchanged?") from error
        raise TLSConfigError(
            f"{path}: holds no private key in PEM form, or a damaged one: copy the whole file again"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise TLSConfigError(f"{path}: is neither an RSA nor an ECDSA nor an Ed25519 key: {_NEW_KEY}")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _MIN_RSA_BITS:
        raise TLSConfigError(f"{path}: an RSA key of {key.key_size} bits is too weak: use {_MIN_RSA_BITS} or more")
    return key, made


def _kind(key: ServerKey, made: crypto.PKey) -> tuple[str, str]:
    """Return the kind of a key, and why many clients refuse it, "" if they do not."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        uncommon = f"its curve, {key.curve.name}, is refused by most clients: use P-256"
        return "ECDSA", "" if key.curve.name in _COMMON_CURVES else uncommon
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "Ed25519", "its key is Ed25519, which many clients refuse: use P-256, or list a P-256 pair beside it"
    if made.type() == _RSA_PSS:
        return "RSA-PSS", "its key is for RSA-PSS only, which many clients refuse: use P-256 or plain RSA"
    return "RSA", ""


def _is_for(certificate: x509.Certificate, key: ServerKey) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except _UNREADABLE:
        return False


def _in_order(chain: list[x509.Certificate], leaf: x509.Certificate) -> list[x509.Certificate]:
    """Return the leaf, its issuers one after the other, then what is left. RFC 5246 §7.4.2 requires this order."""
    ordered = [leaf]
    rest = [certificate for certificate in dict.fromkeys(chain) if certificate != leaf]
    while issuer := next((other for other in rest if other.subject == ordered[-1].issuer), None):
        rest.remove(issuer)
        ordered.append(issuer)
    return ordered + rest


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))


def read_pair(files: CertificateFiles) -> CertificatePair:
    """Read a certificate chain and its key. The issuers may be in any order.

    @raise TLSConfigError: a file is missing, unreadable or damaged, or the two do not belong together.
    """
    chain = read_chain(files.chain)
    key, made = _read_key(files.key)
    leaf = next((certificate for certificate in chain if _is_for(certificate, key)), None)
    if leaf is None:
        raise TLSConfigError(f"{files.key}: this key does not belong to the certificate in {files.chain}")
    kind, uncommon = _kind(key, made)
    try:
        ordered = b"".join(each.public_bytes(Encoding.PEM) for each in _in_order(chain, leaf))
        pair = CertificatePair(files, leaf, made, kind, ordered, _dns_names(leaf), uncommon)
        # Reads the dates, which may be damaged too.
        _ = pair.why_invalid(datetime.now(UTC))
    except _UNREADABLE as error:
        raise TLSConfigError(f"{files.chain}: holds a damaged certificate: {error}: get a new one") from error
    return pair
