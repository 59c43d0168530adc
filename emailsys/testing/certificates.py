"""Certificates of a mail system for tests: an authority of its own, and what STARTTLS and STLS need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.net.tls.server import ServerTLS


def certificates_in(folder: Path, names: Sequence[str]) -> tuple[Path, ServerTLS]:
    """Make an authority and certificates for localhost and for these names, or use those that are in the folder.

    @return: the certificate of the authority, which clients must trust, and the options of the server.
    @raise PKIError: the folder cannot be written.
    """
    made = pki.ensure_development_ca(folder, names)
    return made.authority, ServerTLS([CertificateFiles(one.chain, one.key) for one in made.certificates])
