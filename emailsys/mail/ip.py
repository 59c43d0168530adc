"""Read the IP address of a peer or a host, in every spelling."""

from __future__ import annotations

import ipaddress

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_ip(text: str) -> IP | None:
    """The address without a scope such as %eth0, an IPv4 one mapped into IPv6 as itself; None for what is none.

    RFC 4291 §2.5.5.2: a socket for both families gives ::ffff:192.0.2.1 for 192.0.2.1.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(host: str) -> bool:
    """Whether that address is this machine talking to itself; False for what is no address."""
    address = read_ip(host)
    return address is not None and address.is_loopback
