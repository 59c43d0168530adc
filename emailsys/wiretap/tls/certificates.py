"""The statements of a certificate, read from its DER. Never raises: a certificate may be anything."""

from __future__ import annotations

import ipaddress
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from emailsys.wiretap.conversation import Json
from emailsys.wiretap.tls.names import clean

# Names of a certificate that an event holds. Some have hundreds.
_SHOWN_NAMES: Final = 100
# Octets of DER. A longer one is not parsed.
_LONGEST: Final = 2**17
#: What parsing someone's certificate raises: cryptography parses parts of it late, when they are asked for.
NOT_READABLE: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The statements of a certificate. Text has no control characters; times are UTC.

    @ivar names: the names for which it is, as in `DNS:mx.example.org`.
    @ivar key_bits: the size of the key; 0 for an unknown kind.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key: str
    key_bits: int
    signature: str
    serial: str
    sha256: str

    @property
    def is_self_issued(self) -> bool:
        """Whether issuer and subject are the same."""
        return self.subject == self.issuer


def load(der: bytes) -> x509.Certificate | None:
    """Returns a certificate; None for octets that are none."""
    if len(der) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            # The library warns of serial numbers that are not positive. Some old authorities have them.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_der_x509_certificate(der)
    except NOT_READABLE:
        return None


def facts_of(certificate: x509.Certificate) -> Facts | None:
    """Returns what a certificate says; None if a part that every certificate has cannot be read."""
    from cryptography.hazmat.primitives import hashes

    try:
        kind, bits = _key(certificate)
        return Facts(
            _name(certificate.subject),
            _name(certificate.issuer),
            _names(certificate),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            kind,
            bits,
            _signature(certificate),
            f"{certificate.serial_number:x}"[:64],
            certificate.fingerprint(hashes.SHA256()).hex(),
        )
    except NOT_READABLE:
        return None


def details_of(der: bytes) -> dict[str, Json]:
    """Returns what a certificate says for an event; only its size for octets that are no certificate."""
    certificate = load(der)
    facts = None if certificate is None else facts_of(certificate)
    if facts is None:
        return {"octets": len(der), "subject": "", "error": "it cannot be read as a certificate"}
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "names": list(facts.names[:_SHOWN_NAMES]),
        "not_before": _time(facts.not_before),
        "not_after": _time(facts.not_after),
        "key": facts.key,
        "signature": facts.signature,
        "serial": facts.serial,
        "sha256": facts.sha256,
        "octets": len(der),
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(name: x509.Name) -> str:
    """The common name, or the whole name if it has none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return clean(str(common[-1].value) if common else name.rfc4514_string())


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *NOT_READABLE):
        return ()
    found = []
    for name in names:
        match name:
            case x509.DNSName():
                found.append(clean(f"DNS:{name.value}"))
            case x509.IPAddress() if isinstance(name.value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
                found.append(f"IP:{name.value}")
            case x509.RFC822Name():
                found.append(clean(f"email:{name.value}"))
            case x509.UniformResourceIdentifier():
                found.append(clean(f"URI:{name.value}"))
    return tuple(found)


def _key(certificate: x509.Certificate) -> tuple[str, int]:
    try:
        key = certificate.public_key()
    except NOT_READABLE:
        return "a key of an unknown kind", 0
    match key:
        case rsa.RSAPublicKey():
            return f"RSA with {key.key_size} bits", key.key_size
        case ec.EllipticCurvePublicKey():
            return f"ECDSA on {key.curve.name}", key.key_size
        case dsa.DSAPublicKey():
            return f"DSA with {key.key_size} bits", key.key_size
        case ed25519.Ed25519PublicKey():
            return "Ed25519", 256
        case ed448.Ed448PublicKey():
            return "Ed448", 448
        case _:
            return type(key).__name__.removesuffix("PublicKey").lstrip("_"), 0


def _signature(certificate: x509.Certificate) -> str:
    """The algorithm by which the issuer signed, as in `sha256WithRSAEncryption`."""
    oid = certificate.signature_algorithm_oid
    known = next((name for name, value in vars(x509.SignatureAlgorithmOID).items() if value == oid), "")
    return known.lower().replace("_", "-") if known else oid.dotted_string
