"""Reach an account's servers: TLS as the account asks for it, logins only where they are safe."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from emailsys.client.accounts.values import Auth, Security, Server
from emailsys.mail.ip import is_loopback
from emailsys.net.pop3_client import CONNECT_TIMEOUT, POP3Client, POP3Lost, connect
from emailsys.net.tls import TLSConfigError
from emailsys.net.tls_client import client_context


class Unreachable(Exception):
    """A server cannot be reached as the account wants it; the message says why. `certificate`: for its certificate."""

    def __init__(self, message: str, *, certificate: bool = False) -> None:
        super().__init__(message)
        self.certificate = certificate


def tls_for(server: Server, *, verify: bool = True) -> IOpenSSLClientConnectionCreator:
    """TLS to a server. @raise TLSConfigError: its name or its file of authorities is of no use."""
    return client_context(server.host, server.ca_file, verify=verify, fingerprint=server.fingerprint if verify else "")


def not_in_the_clear(server: Server) -> str:
    """Why no password goes to that server."""
    return f'{server} is on another machine, and the password would go there in the clear: use TLS (security = "tls")'


async def connect_pop3(reactor: Any, server: Server, *, verify: bool = True) -> POP3Client:
    """Connect to a POP3 server, up to where the login begins.

    @raise Unreachable: no connection, no TLS, or a certificate that is refused.
    """
    try:
        tls = None if server.security is Security.NONE else tls_for(server, verify=verify)
        client = await connect(
            HostnameEndpoint(reactor, server.host, server.port, CONNECT_TIMEOUT),
            reactor,
            str(server),
            tls=tls if server.security is Security.TLS else None,
            stls=tls if server.security is Security.STARTTLS else None,
        )
    except (POP3Lost, TLSConfigError) as error:
        raise Unreachable(str(error), certificate=getattr(error, "certificate", False)) from error
    if tls is None and not is_loopback(client.peer_host):
        client.abort()
        raise Unreachable(not_in_the_clear(server))
    return client


async def login_pop3(client: POP3Client, server: Server, secret: str) -> None:
    """Log in. @raise POP3Refused: by the server. @raise POP3Lost: the connection is gone."""
    await client.say_utf8()
    if server.auth is Auth.TOKEN:
        await client.login_by_token(server.username, secret)
    else:
        await client.login(server.username, secret)
    if not client.capabilities.offered or not client.pipelining:
        # Some servers tell of PIPELINING after the login only.
        await client.look()
