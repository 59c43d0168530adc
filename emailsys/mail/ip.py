"""IP addresses of peers and hosts, parsed from every spelling."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

# A provider assigns at least this prefix to one customer (RFC 6177 §2), who can use every address in it.
_IPV6_SITE: Final = 64
# The networks within which an attacker finds many addresses: a subnet of IPv4, and what a provider assigns to one
# organisation in IPv6.
_NEIGHBOURS: Final = {4: 24, 6: 48}

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


@lru_cache(maxsize=4096)
def client_network(ip: str) -> str:
    """The name by which a client is counted: its IPv4 address, the /64 network of its IPv6 address, or other text."""
    address = read_ip(ip)
    if address is None or address.version == 4:
        return ip if address is None else str(address)
    return _network(address, _IPV6_SITE)


@lru_cache(maxsize=4096)
def neighbourhood(ip: str) -> str:
    """The /24 network of an IPv4 address, the /48 network of an IPv6 address, or other text unchanged."""
    address = read_ip(ip)
    return ip if address is None else _network(address, _NEIGHBOURS[address.version])


def _network(address: IP, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False).network_address)
