"""TLS contexts of the lab's hosts, attackers and clients."""

from __future__ import annotations

import ssl
from pathlib import Path

from emailsys.pki import IssuedFiles


def server_context(certificate: IssuedFiles) -> ssl.SSLContext:
    """Returns the context of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    return context


def careful_client(authority: Path) -> ssl.SSLContext:
    """Returns the context of a client that checks the certificate, trusting this authority alone."""
    return ssl.create_default_context(cafile=str(authority))


def careless_client() -> ssl.SSLContext:
    """Returns the context of a client that takes any certificate: that of the man in the middle towards the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
