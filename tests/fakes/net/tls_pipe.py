"""A TLS handshake in memory: two OpenSSL connections that hand each other their records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from OpenSSL import SSL

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.net.tls.client import ClientTLS
from emailsys.net.tls.server import ServerTLS

#: A layer with nothing above it.
NO_PROTOCOL: Any = SimpleNamespace(wrappedProtocol=None)


def shake_hands(
    server: ServerTLS, client: ClientTLS | SSL.Context, name: bytes | None = None, layer: Any = NO_PROTOCOL
) -> SSL.Connection:
    """Run a handshake to its end and return the client's end of the connection.

    @param name: the server name that a bare context shall ask for.
    @param layer: the TLS layer of the server, whose protocol decides about ALPN.
    @raise SSL.Error: one side refused; what the client says counts more than the alert the server then gets.
    """
    theirs = server.serverConnectionForTLS(layer)
    theirs.set_accept_state()
    if isinstance(client, SSL.Context):
        ours = SSL.Connection(client, None)
        if name is not None:
            ours.set_tlsext_host_name(name)
    else:
        ours = client.clientConnectionForTLS(NO_PROTOCOL)
    ours.set_connect_state()
    failed: SSL.Error | None = None
    for _ in range(10):
        for end, other in ((ours, theirs), (theirs, ours)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                failed = failed or error
            move(end, other)
    if failed is not None:
        raise failed
    return ours


def move(source: SSL.Connection, target: SSL.Connection) -> None:
    """Hand over the records that one side has written."""
    while True:
        try:
            target.bio_write(source.bio_read(65536))
        except SSL.WantReadError:
            return


def served(*issued: pki.IssuedFiles) -> tuple[CertificateFiles, ...]:
    """Certificates as the settings name them."""
    return tuple(CertificateFiles(files.chain, files.key) for files in issued)


def development_tls(folder: Path, now: datetime | None = None) -> tuple[ServerTLS, Path]:
    """A server with the development CA's certificates, and the file that clients are to trust."""
    made = pki.ensure_development_ca(folder, now=now)
    return ServerTLS(served(*made.certificates), lambda: now or datetime.now(UTC)), made.authority
