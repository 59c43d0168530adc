"""Make, sign and read X.509 certificates and their keys."""

from __future__ import annotations

import errno
import ipaddress
import os
import stat
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

# Clocks of test machines differ. A certificate that is valid since an hour ago is valid on all of them.
_BACKDATED: Final = timedelta(hours=1)
# Octets that are read of a file. Certificates and keys have a few thousand.
_MOST_OCTETS: Final = 1 << 20
# RFC 5280 §4.2.1.3: these keys sign handshakes and encipher nothing, because only ECDHE suites are served.
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
    """The contents of a certificate, as `emailsys certs show` prints them."""

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
    """Generate a key.

    @param name: one of KEY_KINDS.
    """
    if name == "RSA-2048":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def same_key(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Tell whether a certificate is for a key."""
    try:
        return certificate.public_key() == key.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return False


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(**allowed: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{**_NO_USAGE, **allowed})


def alternative_names(recipe: ServerRecipe, names: Iterable[str]) -> list[x509.GeneralName]:
    """Return the names of the recipe, then the other names, each once.

    An address becomes an IP name; a host name is written in A-labels (RFC 5280 §7.2).

    @raise PKIError: one of them is no host name.
    """
    wanted: dict[x509.GeneralName, None] = {}
    for name in (*recipe.dns, *recipe.ip, *names):
        try:
            wanted[x509.IPAddress(ipaddress.ip_address(name.strip("[]")))] = None
        except ValueError:
            try:
                ascii_name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
            except idna.IDNAError as error:
                raise PKIError(
                    f"{name!r} is not a host name, so no certificate can be issued for it: {error}"
                ) from error
            wanted[x509.DNSName(ascii_name.lower())] = None
    return list(wanted)


def new_authority(name: str, days: int, key: PrivateKey, now: datetime) -> x509.Certificate:
    """Create a self-signed authority that can sign only server certificates (RFC 5280 §4.2.1.9)."""
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
    """Issue a server certificate by the recipe, with `names` in place of the names in the recipe."""
    begins = now + timedelta(days=recipe.begins)
    # Clients reject a certificate whose authority has expired.
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


def _read(path: Path) -> bytes:
    """Return the octets of a file. The owner of the folder may have put a pipe there, whose writer is not waited for.

    @raise OSError: the file cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return file.read(_MOST_OCTETS)


def read_key(path: Path) -> PrivateKey | None:
    """Read the key in a file; return None if there is no file.

    @raise PKIError: the file cannot be read, or has no RSA or ECDSA key.
    """
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PKIError(f"{path}: the key cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PKIError(
            f"{path}: contains no private key, or a damaged one. Remove it, and a new one is created"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PKIError(f"{path}: contains neither an RSA nor an ECDSA key. Remove it, and a new one is created")
    return key


def read_certificate(path: Path) -> x509.Certificate:
    """Read the first certificate of a PEM file.

    @raise PKIError: the file cannot be read, or has no certificate.
    """
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except FileNotFoundError:
        raise PKIError(f"{path}: the file does not exist. Run `emailsys certs init`") from None
    except OSError as error:
        raise PKIError(f"{path}: the certificate cannot be read: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise PKIError(
            f"{path}: contains no certificate, or a damaged one. Remove it, and a new one is created"
        ) from error


def certificate_facts(path: Path, certificate: x509.Certificate | None = None) -> CertificateFacts:
    """Return the contents of a certificate.

    @param certificate: by default, the first one in the file.
    @raise PKIError: it cannot be read.
    """
    certificate = read_certificate(path) if certificate is None else certificate
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
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
