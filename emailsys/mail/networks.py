"""Sets of networks that a configuration names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from emailsys.mail.ip import read_ip


class Networks:
    """A set of networks, empty by default."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """
        @param networks: IP addresses, or networks such as 192.0.2.0/24 and 2001:db8::/32.
        @raise ValueError: one of them is invalid; the message names it.
        """
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def __contains__(self, ip: str) -> bool:
        """Return whether an IP address is in one of the networks. False for text that is no IP address."""
        return self.network_of(ip) is not None

    def network_of(self, ip: str) -> str | None:
        """Return the first network that has an IP address, or None."""
        if not self._networks:
            return None
        address = read_ip(ip)
        if address is None:
            return None
        return next((str(network) for network in self._networks if address in network), None)
