"""IP addresses of peers and hosts, parsed from every spelling."""

from __future__ import annotations

import ipaddress

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_ip(text: str) -> IP | None:
    """Parse an IP address without its scope (%eth0); None if the text is not one. IPv4-mapped IPv6 becomes IPv4.

    RFC 4291 §2.5.5.2: a socket for both families reports 192.0.2.1 as ::ffff:192.0.2.1.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(host: str) -> bool:
    """Whether the text is a loopback address; False if it is not an IP address."""
    address = read_ip(host)
    return address is not None and address.is_loopback
