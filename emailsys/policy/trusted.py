"""Networks whose hosts may relay without a login, such as that of a printer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


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
        try:
            address = ipaddress.ip_address(ip.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
