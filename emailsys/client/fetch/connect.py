"""Connection and login to an account's POP3 server, with the account's TLS settings."""

from __future__ import annotations

from emailsys.client.accounts.values import Auth, Security, Server
from emailsys.client.fetch.pop3 import POP3Client, POP3Lost, connect
from emailsys.client.fetch.stream import Stream
from emailsys.mail.ip import is_loopback
from emailsys.net.tls.context import TLSConfigError
from emailsys.net.tls.peer import ExpectedServer


class Unreachable(Exception):
    """A server cannot be reached with the account's settings. The message says why.

    `certificate`: TLS rejected the server's certificate.
    """

    def __init__(self, message: str, *, certificate: bool = False) -> None:
        super().__init__(message)
        self.certificate = certificate


def expected_server(server: Server, *, verify: bool = True) -> ExpectedServer:
    """Return what TLS has to verify. @raise TLSConfigError: the server's name or its CA file is invalid."""
    return ExpectedServer(server.host, server.ca_file, verify=verify, fingerprint=server.fingerprint if verify else "")


def cleartext_refusal(server: Server) -> str:
    """Return the reason why no password is sent to a server without TLS."""
    return f'{server} is on another machine, and the password would be sent in the clear: use TLS (security = "tls")'


def connect_pop3(stream: Stream, server: Server, *, verify: bool = True) -> POP3Client:
    """Connect to a POP3 server, up to the login. Blocks.

    @raise Unreachable: no connection, no TLS, or a rejected certificate.
    """
    try:
        tls = None if server.security is Security.NONE else expected_server(server, verify=verify)
        client = connect(
            stream,
            server.host,
            server.port,
            shown=str(server),
            tls=tls if server.security is Security.TLS else None,
            stls=tls if server.security is Security.STARTTLS else None,
        )
    except (POP3Lost, TLSConfigError) as error:
        stream.close()
        raise Unreachable(str(error), certificate=getattr(error, "certificate", False)) from error
    if tls is None and not is_loopback(client.peer_host):
        client.close()
        raise Unreachable(cleartext_refusal(server))
    return client


def login_pop3(client: POP3Client, server: Server, secret: str) -> None:
    """Log in. @raise POP3Refused: the server rejected the login. @raise POP3Lost: the connection was lost."""
    client.enable_utf8()
    if server.auth is Auth.TOKEN:
        client.login_by_token(server.username, secret)
    else:
        client.login(server.username, secret)
    if not client.capabilities.offered or not client.pipelining:
        # Some servers announce PIPELINING only after the login.
        client.query_capabilities()
