"""The way to an account's submission server: its addresses, and how its session is to be."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from emailsys.client.accounts.values import Auth, Security, Server
from emailsys.client.base.threads import InThread, threads_of
from emailsys.client.fetch.connect import Unreachable, cleartext_refusal, expected
from emailsys.mail.ip import is_loopback
from emailsys.mail.next_hop import Host, HostLogin, NextHop, TLSPolicy
from emailsys.net.tls.client import ClientTLS


def next_hop_of(server: Server, secret: str | None) -> NextHop:
    """A submission server as the SMTP client takes it. @param secret: None for no login."""
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
    """The addresses of a submission server, in the order in which to try them.

    @raise Unreachable: it has none, or a password would go to another machine in the clear.
    """
    in_thread = in_thread or threads_of(reactor)
    try:
        found = await in_thread(lambda: look_up(server.host, server.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise Unreachable(
            f"there is no address of {server.host}: {getattr(error, 'strerror', None) or error}"
        ) from error
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if server.security is Security.NONE and not all(is_loopback(address) for address in addresses):
        raise Unreachable(cleartext_refusal(server))
    return [Host(server.host, address, server.port) for address in addresses]


def tls_for(server: Server, *, verify: bool = True) -> ClientTLS:
    """TLS to a server. @raise TLSConfigError: its name or its file of authorities is of no use."""
    return ClientTLS(expected(server, verify=verify))
