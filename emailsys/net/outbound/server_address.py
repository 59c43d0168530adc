"""Address of a server as an argument names it: `unix:/PATH` or `inet:HOST:PORT`."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

_CONNECT_SECONDS: Final = 10.0


def endpoint_of(argument: str, reactor: Any) -> IStreamClientEndpoint:
    """Return the endpoint of a server. Connecting to it takes at most ten seconds.

    @raise ValueError: the argument names none.
    """
    kind, _, where = argument.partition(":")
    host, _, port = where.rpartition(":")
    if kind == "unix" and where.startswith("/"):
        return UNIXClientEndpoint(reactor, where, timeout=_CONNECT_SECONDS)
    if kind == "inet" and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536:
        return HostnameEndpoint(reactor, host.strip("[]"), int(port), timeout=_CONNECT_SECONDS)
    raise ValueError(f"found {argument!r}; allowed: inet:HOST:PORT or unix:/PATH")
