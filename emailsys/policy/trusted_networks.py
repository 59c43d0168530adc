"""Networks whose hosts may relay without a login, such as that of a printer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from emailsys.mail.ip import read_ip


class TrustedNetworks:
    """A set of networks; empty by default, as it should be nearly everywhere."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """
        @param networks: addresses, or networks such as 192.0.2.0/24 and 2001:db8::/32.
        @raise ValueError: one of them is none; the message names it.
        """
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def __contains__(self, ip: str) -> bool:
        """Whether a peer is in one of them; what is no address is not."""
        if not self._networks:
            return False
        address = read_ip(ip)
        return address is not None and any(address in network for network in self._networks)
