"""Addresses and session settings of an account's submission server."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from emailsys.client.accounts.values import Auth, Security, Server
from emailsys.client.base.threads import InThread, threads_of
from emailsys.client.fetch.connect import Unreachable, cleartext_refusal, expected_server
from emailsys.mail.ip import is_loopback
from emailsys.mail.next_hop import Host, HostLogin, NextHop, TLSPolicy
from emailsys.net.tls.client import ClientTLS


def next_hop_of(server: Server, secret: str | None) -> NextHop:
    """Return the next hop for the SMTP client. @param secret: password or token, None for no login."""
    login = None
    if secret is not None and server.auth is not Auth.NONE:
        login = HostLogin(
            server.username, secret, token=server.auth is Auth.TOKEN, in_clear=server.security is Security.NONE
        )
    return NextHop(
        server.host,
        server.port,
        by_mx=False,
        tls=TLSPolicy.NONE if server.security is Security.NONE else TLSPolicy.VERIFIED,
        implicit_tls=server.security is Security.TLS,
        login=login,
    )


async def hosts_of(
    reactor: Any,
    server: Server,
    in_thread: InThread | None = None,
    look_up: Callable[..., Any] = socket.getaddrinfo,
) -> list[Host]:
    """Look up the addresses of a submission server, in the order in which to try them.

    @raise Unreachable: there is no address, or a password would be sent to another machine without TLS.
    """
    in_thread = in_thread or threads_of(reactor)
    try:
        found = await in_thread(lambda: look_up(server.host, server.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"no address found for {server.host}: {getattr(error, 'strerror', None) or error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if server.security is Security.NONE and not all(is_loopback(address) for address in addresses):
        raise Unreachable(cleartext_refusal(server))
    return [Host(server.host, address, server.port) for address in addresses]


def tls_for(server: Server, *, verify: bool = True) -> ClientTLS:
    """Return TLS for a server. @raise TLSConfigError: the server's name or its CA file is invalid."""
    return ClientTLS(expected_server(server, verify=verify))
