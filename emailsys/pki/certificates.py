"""Make, sign and read X.509 certificates and their keys."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import idna
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emailsys.pki.recipe import PKIError, ServerRecipe

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

# Clocks of test machines differ; a certificate that begins an hour ago is valid on all of them.
_BACKDATED: Final = timedelta(hours=1)
# RFC 5280 §4.2.1.3: these keys sign handshakes and encipher nothing, for only ECDHE suites are served.
_NO_USAGE: Final = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What `emailsys certs show` tells about a certificate."""

    path: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    key: str
    serial: str
    not_before: datetime
    not_after: datetime
    sha256: str


def new_key(name: str) -> PrivateKey:
    """A key of one of the KEY_KINDS."""
    if name == "RSA-2048":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def same_key(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Whether the certificate is for that key."""
    try:
        return certificate.public_key() == key.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return False


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(**allowed: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{**_NO_USAGE, **allowed})


def alternative_names(recipe: ServerRecipe, names: Iterable[str]) -> list[x509.GeneralName]:
    """The recipe's names, then the others; an address becomes an IP name, a host name its A-labels (RFC 5280 §7.2)."""
    wanted: dict[x509.GeneralName, None] = {}
    for name in (*recipe.dns, *recipe.ip, *names):
        try:
            wanted[x509.IPAddress(ipaddress.ip_address(name.strip("[]")))] = None
        except ValueError:
            try:
                ascii_name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
            except idna.IDNAError as error:
                raise PKIError(f"{name!r} is no host name for a certificate: {error}") from error
            wanted[x509.DNSName(ascii_name.lower())] = None
    return list(wanted)


def new_authority(name: str, days: int, key: PrivateKey, now: datetime) -> x509.Certificate:
    """A self-signed authority, for server certificates and nothing else (RFC 5280 §4.2.1.9)."""
    subject, public = _name(name), key.public_key()
    return (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def issue(
    recipe: ServerRecipe,
    names: list[x509.GeneralName],
    key: PrivateKey,
    authority: x509.Certificate,
    authority_key: PrivateKey,
    now: datetime,
) -> x509.Certificate:
    """A server certificate by the recipe, for `names` in place of the recipe's own."""
    begins = now + timedelta(days=recipe.begins)
    # A certificate that outlives its authority would be good for nothing in the time between.
    ends = min(begins + timedelta(days=recipe.days), authority.not_valid_after_utc)
    public = key.public_key()
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(recipe.crl)], None, None, None)
    first = next((name.value for name in names if isinstance(name, x509.DNSName)), str(names[0].value))
    return (
        x509.CertificateBuilder(authority.subject, _name(first[:64]), public, x509.random_serial_number())
        .not_valid_before(begins - _BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def read_key(path: Path) -> PrivateKey | None:
    """The key in a file, None where there is no file.

    @raise PKIError: the file holds no key that we make.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PKIError(f"{path}: the key cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PKIError(f"{path}: is no private key, or a damaged one: remove it to have a new one made") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PKIError(f"{path}: is neither an RSA nor an ECDSA key: remove it to have a new one made")
    return key


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    @raise PKIError: there is none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise PKIError(f"{path}: there is no such certificate: run `emailsys certs init`") from None
    except OSError as error:
        raise PKIError(f"{path}: the certificate cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PKIError(f"{path}: is no certificate, or a damaged one: remove it to have a new one made") from error


def certificate_facts(path: Path) -> CertificateFacts:
    """What a certificate says about itself.

    @raise PKIError: it cannot be read.
    """
    certificate = read_certificate(path)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    try:
        public = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        public = None
    if public is None:
        key = "of an unknown kind"
    elif isinstance(public, rsa.RSAPublicKey):
        key = f"RSA-{public.key_size}"
    elif isinstance(public, ec.EllipticCurvePublicKey):
        key = {"secp256r1": "P-256", "secp384r1": "P-384"}.get(public.curve.name, public.curve.name)
    else:
        key = type(public).__name__.removesuffix("PublicKey")
    return CertificateFacts(
        path=str(path),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=tuple(str(name.value) for name in names),
        key=key,
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        sha256=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )
