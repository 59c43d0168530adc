"""Listening sockets of the services."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final

from emailsys.config.exit_status import Exit
from emailsys.config.settings import Listen, Settings, WebSettings
from emailsys.config.values import EVERY_ADDRESS, LOOPBACK, shown_address
from emailsys.mail.ip import is_loopback
from emailsys.platforms.listeners import listener_of
from emailsys.supervisor.errors import StartupError

# Connections that may wait for accept() on a listening socket; the kernel limits it (somaxconn).
BACKLOG: Final = 1024
# Services whose addresses are not in [listen], with their keys.
_KEYS: Final = {"metrics": "monitoring.metrics_listen", "http": "web.listen", "https": "web.listen"}
# Free ports that are tried until one is free for IPv4 and IPv6.
_FREE_PORTS: Final = 16


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket and its service."""

    service: str
    socket: socket.socket
    #: Whether systemd opened it, for a socket unit.
    is_activated: bool = False

    @property
    def shown(self) -> str:
        """The address as the configuration writes it."""
        host, port = self.socket.getsockname()[:2]
        return shown_address(host, port)

    def is_for(self, service: str, pair: tuple[str, int]) -> bool:
        """Return whether the socket belongs to the service and is bound to the address. Port 0 is every port."""
        host, port = self.socket.getsockname()[:2]
        return service == self.service and ip_address(pair[0]) == ip_address(host) and pair[1] in (0, port)


def has_ipv6(host: str = "::1") -> bool:
    """Tell whether this machine can listen on that IPv6 address."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def expand(addresses: Iterable[tuple[str, int]], ipv6: bool) -> list[tuple[str, int]]:
    """Return the addresses to bind: `*` and `localhost` become one address of each IP version of this machine."""
    pairs: list[tuple[str, int]] = []
    for host, port in addresses:
        both = {EVERY_ADDRESS: ("0.0.0.0", "::"), LOOPBACK: ("127.0.0.1", "::1")}.get(host)  # noqa: S104
        if both is None:
            pairs.append((host, port))
        else:
            pairs += [(one, port) for one in both if ipv6 or ":" not in one]
    return pairs


def listens_of(settings: Settings) -> Sequence[tuple[str, Listen]]:
    """Return the listening addresses of each service, by name."""
    return (
        ("smtp", settings.smtp_listen),
        ("submission", settings.submission_listen),
        ("submissions", settings.submissions_listen),
        ("pop3", settings.pop3_listen),
        ("pop3s", settings.pop3s_listen),
        ("metrics", Listen(settings.monitoring.metrics_listen)),
        ("http", Listen(tuple(pair for pair in settings.web.listen if is_clear(settings.web, pair)))),
        ("https", Listen(tuple(pair for pair in settings.web.listen if not is_clear(settings.web, pair)))),
    )


def is_clear(web: WebSettings, pair: tuple[str, int]) -> bool:
    """Tell whether the web face is served without TLS at an address: on loopback, and behind a proxy that ends TLS."""
    return web.behind_proxy or pair[0] == LOOPBACK or is_loopback(pair[0])


def bind_all(settings: Settings, activated: Iterable[Bound] = (), inherited: Iterable[Bound] = ()) -> list[Bound]:
    """Bind and listen on each address of each service. On an error, no socket stays bound.

    @param activated: sockets of systemd. A service that has some listens on these instead of its addresses.
    @param inherited: sockets of a predecessor. They are used for addresses that are the same; the others are closed.
    @raise StartupError: an address cannot be bound. The message names service, address, reason and what to do.
    """
    ipv6 = has_ipv6()
    left = [*inherited]
    bound = [*activated, *(one for one in left if one.is_activated)]
    is_activated = {one.service for one in bound}
    left = [one for one in left if not one.is_activated]
    try:
        for service, listen in listens_of(settings):
            for pair in () if service in is_activated else listen.addresses:
                pairs = expand([pair], ipv6)
                taken = [one for wanted in pairs for one in left if one.is_for(service, wanted)]
                left = [one for one in left if one not in taken]
                if len(taken) == len(pairs):
                    bound += taken
                else:
                    close_all(taken)
                    bound += _bind(service, pairs)
    except StartupError:
        close_all(bound)
        raise
    close_all(left)
    return bound


def _bind(service: str, pairs: Sequence[tuple[str, int]]) -> list[Bound]:
    """Bind the sockets of one address of the configuration. With port 0, all of them get the same free port."""
    host, port = pairs[0]
    for attempt in range(_FREE_PORTS):
        bound = [Bound(service, _listening(service, host, port))]
        try:
            free = bound[0].socket.getsockname()[1]
            bound += [Bound(service, _listening(service, other, free)) for other, _ in pairs[1:]]
        except StartupError:
            close_all(bound)
            # The port is free for one IP version only. Another port may be free for both.
            if port != 0 or attempt == _FREE_PORTS - 1:
                raise
        else:
            return bound
    raise AssertionError("the last attempt returns or raises")


def with_ports(settings: Settings, bound: Iterable[Bound]) -> Settings:
    """Return the settings with the ports that were bound in place of port 0."""
    listeners = tuple(bound)
    free: dict[str, Any] = {
        f"{name}_listen": Listen(tuple(one.socket.getsockname()[:2] for one in listeners if one.service == name))
        for name, listen in listens_of(settings)
        if name not in _KEYS and any(port == 0 for _, port in listen.addresses)
    }
    return replace(settings, **free)


def close_all(bound: Iterable[Bound]) -> None:
    """Close the sockets."""
    for one in bound:
        one.socket.close()


def _listening(service: str, host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            # `0.0.0.0` and `::` have one socket each.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        key = _KEYS.get(service, f"listen.{service}")
        where = f"{key}: {shown_address(host, port)}"
        if error.errno == errno.EADDRINUSE:
            program = listener_of(host, port) or "another program"
            raise StartupError(
                f"{where} is already in use by {program}; stop it, or change {key}", Exit.UNAVAILABLE
            ) from None
        if error.errno == errno.EACCES:
            raise StartupError(
                f"{where}: ports below 1024 require root or the capability CAP_NET_BIND_SERVICE. Start the daemon as "
                "root and set user in the configuration, or give it the capability (systemd: "
                "AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose ports from 1024",
                Exit.NO_PERMISSION,
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise StartupError(f"{where}: this machine has no such address; change {key}", Exit.UNAVAILABLE) from None
        raise StartupError(f"{where}: {error.strerror}", Exit.OS) from None
    return listener
