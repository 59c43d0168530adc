"""Trust anchors: the certificates of authorities that this system, or a file, trusts."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509

from emailsys.wiretap.tls.certificates import load

# Where systems keep the authorities that they trust, if OpenSSL's own default is empty.
_USUAL_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"


class Anchors:
    """The certificates that are trusted, by subject."""

    def __init__(self, certificates: Iterable[x509.Certificate] = (), source: str = "") -> None:
        """
        @param source: where they are from, for people.
        """
        found: dict[bytes, list[x509.Certificate]] = {}
        for certificate in certificates:
            found.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        self._by_subject: Mapping[bytes, list[x509.Certificate]] = found
        self.source = source

    def __len__(self) -> int:
        return sum(map(len, self._by_subject.values()))

    def __contains__(self, certificate: x509.Certificate) -> bool:
        return certificate in self._by_subject.get(certificate.subject.public_bytes(), ())

    def named(self, subject: x509.Name) -> tuple[x509.Certificate, ...]:
        """Returns the anchors with a subject."""
        return tuple(self._by_subject.get(subject.public_bytes(), ()))


def anchors_of_file(path: Path) -> Anchors:
    """Returns the authorities of a PEM file. Certificates that cannot be read are skipped.

    @raise OSError: the file cannot be read.
    """
    return Anchors(_certificates(path.read_bytes()), str(path))


@cache
def system_anchors() -> Anchors:
    """Returns the authorities that this system trusts; none if it does not say."""
    # SSL_CERT_FILE, as OpenSSL's programs have it, comes first in these paths.
    paths = ssl.get_default_verify_paths()
    for name in (paths.cafile, *_USUAL_FILES):
        if name and os.path.isfile(name):
            found = anchors_of_file(Path(name))
            if len(found):
                return found
    windows = getattr(ssl, "enum_certificates", None)
    if windows is None:
        return Anchors()
    ders = (der for der, encoding, _ in windows("ROOT") if encoding == "x509_asn")
    return Anchors(filter(None, map(load, ders)), "the system's store")


def _certificates(pem: bytes) -> Iterable[x509.Certificate]:
    for part in pem.split(_BEGIN)[1:]:
        try:
            der = ssl.PEM_cert_to_DER_cert((_BEGIN + part.split(_END)[0] + _END).decode("ascii"))
        except ValueError:
            continue
        certificate = load(der)
        if certificate is not None:
            yield certificate
