"""Own host: recognize this host among the MX hosts of a domain, to prevent mail loops."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable

from emailsys.mail.next_hop import SMTP_PORT

_EVERY_ADDRESS = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104


def is_local_address(address: str) -> bool:
    """Whether an IP address belongs to this machine: the kernel would use it as the source address to reach it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.is_loopback or ip.is_unspecified:
        return True
    try:
        # Connecting a datagram socket sends nothing. It only looks up the route.
        with socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, SMTP_PORT))
            return ipaddress.ip_address(str(probe.getsockname()[0]).partition("%")[0]) == ip
    except OSError:
        return False


class OwnHost:
    """The names and addresses of this host as others see it."""

    def __init__(
        self,
        names: Iterable[str],
        listens: Iterable[tuple[str, int]],
        addresses: Iterable[str] = (),
        is_local: Callable[[str], bool] = is_local_address,
    ) -> None:
        """
        @param names: the names of this host in MX records.
        @param listens: address and port of each mail listener; "*" or "" means every address.
        @param addresses: public addresses whose port 25 is forwarded to this host.
        """
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._listens = tuple(listens)
        self._addresses = frozenset(addresses)
        self._is_local = is_local

    def is_name(self, name: str) -> bool:
        """Whether a name is one of this host."""
        return name.lower().rstrip(".") in self._names

    def is_address(self, address: str, port: int) -> bool:
        """Whether an address and port lead to this host."""
        if port == SMTP_PORT and address in self._addresses:
            return True
        for host, listening in self._listens:
            if listening == port and (host == address or (host in _EVERY_ADDRESS and self._is_local(address))):
                return True
        return False
