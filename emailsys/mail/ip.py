"""IP addresses of peers and hosts, parsed from every spelling."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

# A provider assigns at least this prefix to one customer (RFC 6177 §2), who can use every address in it.
_IPV6_SITE: Final = 64
# The networks within which an attacker finds many addresses: a subnet of IPv4, and what a provider assigns to one
# organisation in IPv6.
_NEIGHBOURS: Final = {4: 24, 6: 48}

# Nearly all peers have an IPv4 address in this form. Parsing one with `ipaddress` takes ten times as long, and an
# attack by thousands of addresses parses each of them several times.
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_is_plain_ipv4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch

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
    if _is_plain_ipv4(host):
        return host.startswith("127.")
    address = read_ip(host)
    return address is not None and address.is_loopback


@lru_cache(maxsize=1024)
def address_literal(ip: str) -> str:
    """Write an IP address as a literal of RFC 5321 §4.1.3; "[unknown]" if it is not an address."""
    address = read_ip(ip)
    if address is None:
        return "[unknown]"
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


@lru_cache(maxsize=4096)
def client_network(ip: str) -> str:
    """The name by which a client is counted: its IPv4 address, the /64 network of its IPv6 address, or other text."""
    if _is_plain_ipv4(ip):
        return ip
    address = read_ip(ip)
    if address is None or address.version == 4:
        return ip if address is None else str(address)
    return _network(address, _IPV6_SITE)


@lru_cache(maxsize=4096)
def neighbourhood(ip: str) -> str:
    """The /24 network of an IPv4 address, the /48 network of an IPv6 address, or other text unchanged."""
    if _is_plain_ipv4(ip):
        return f"{ip[: ip.rindex('.')]}.0"
    address = read_ip(ip)
    return ip if address is None else _network(address, _NEIGHBOURS[address.version])


def _network(address: IP, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False).network_address)


# Networks that no host of the public Internet has: this network and this host (RFC 1122 §3.2.1.3), private use (RFC
# 1918, RFC 4193, RFC 3879), shared by a provider's customers (RFC 6598), link-local (RFC 3927, RFC 4291 §2.5.6),
# protocol assignments (RFC 6890), benchmarks (RFC 2544), multicast and reserved (RFC 1112, RFC 4291), the local prefix
# of NAT64 (RFC 8215), and Teredo (RFC 4380), whose addresses contain one of IPv4 and belong to no mail host.
_NOT_PUBLIC: Final = {
    version: tuple(map(ipaddress.ip_network, networks.split()))
    for version, networks in (
        (
            4,
            "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16 "
            "198.18.0.0/15 224.0.0.0/3",
        ),
        (6, "::/128 ::1/128 64:ff9b:1::/48 2001::/32 fc00::/7 fe80::/9 ff00::/8"),
    )
}
# Networks whose hosts the operator may own: private use (RFC 1918, RFC 4193) and shared by a provider's customers (RFC
# 6598).
_PRIVATE_USE: Final = {
    version: tuple(map(ipaddress.ip_network, networks.split()))
    for version, networks in ((4, "10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16"), (6, "fc00::/7"))
}
# Networks of IPv6 addresses that contain an IPv4 address, and how many bits follow it: compatible (RFC 4291 §2.5.5.1),
# translated (RFC 7915 §1.1), NAT64 (RFC 6052) and 6to4 (RFC 3056). A gateway, or the kernel, would connect to it.
_EMBEDDING: Final = tuple(
    (ipaddress.IPv6Network(network), bits)
    for network, bits in (("::/96", 0), ("::ffff:0:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)


@lru_cache(maxsize=4096)
def is_public(host: str) -> bool:
    """Whether the text is an IP address of the public Internet, in any spelling.

    Not public: loopback, link-local, unspecified, private and multicast addresses, and IPv6 addresses that contain one.
    """
    address = read_ip(host)
    if address is None or any(address in network for network in _NOT_PUBLIC[address.version]):
        return False
    for network, bits in _EMBEDDING:
        if address.version == 6 and address in network:
            return is_public(str(ipaddress.IPv4Address(int(address) >> bits & 0xFFFFFFFF)))
    return True


def is_private_use(host: str) -> bool:
    """Whether the text is an address of a local network: RFC 1918, RFC 4193 or RFC 6598.

    Other addresses that are not public, such as loopback and link-local ones, are no addresses of a mail host.
    """
    address = read_ip(host)
    return address is not None and any(address in network for network in _PRIVATE_USE[address.version])
