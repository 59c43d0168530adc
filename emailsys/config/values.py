"""Readers of configuration values, such as durations and sizes. An error says what is allowed."""

from __future__ import annotations

import enum
import ipaddress
import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from emailsys.config.locations import without_password
from emailsys.mail.address import domain_key, is_mail_domain, parse

Read = Callable[[Any], Any]

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|KiB|MiB|GiB|KB|kB|MB|GB)", re.ASCII)
_OCTETS: Final = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII
)
_ACCOUNT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?", re.ASCII)
_STORE_URL: Final = re.compile(r"(sqlite|postgresql)(\+[a-z0-9_]+)?://.*", re.ASCII | re.DOTALL)
_LISTEN: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})", re.ASCII)

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

_DNS_PORT: Final = 53

# Names for one address of each family that this machine has.
EVERY_ADDRESS: Final = "*"
LOOPBACK: Final = "localhost"

_A_DURATION: Final = 'seconds, or a duration such as "30s", "5m" or "1h"'
_A_SIZE: Final = 'octets, or a size such as "512 KiB", "50 MiB" or "1 GiB"'
AN_ADDRESS: Final = (
    'an address with a port from 0 (any free one) to 65535, such as "192.0.2.1:25", "[2001:db8::1]:25", '
    '"*:25" (every address) or '
    '"localhost:2525" (127.0.0.1 and ::1)'
)


class Unfit(Exception):
    """A value is not allowed. `found` is the wrong part of it, or None if the whole value is wrong."""

    def __init__(self, allowed: str, found: object = None) -> None:
        super().__init__(allowed)
        self.allowed = allowed
        self.found = found


def described(value: object) -> str:
    """Format a value for an error message: in the words of TOML, without passwords of URLs, and cut if it is long."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return (
                f"a list of {len(value)}"
                if len(value) > 3
                else "[" + ", ".join(described(item) for item in value) + "]"
            )
        case str():
            value = without_password(value)
            return json.dumps(value if len(value) <= 60 else value[:57] + "...", ensure_ascii=False)
        case _:
            return str(value)


def a_boolean(value: object) -> bool:
    """Read true or false. No other value stands for them."""
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


def a_duration(minimum: float, maximum: float = 7 * 86400.0) -> Read:
    """Return a reader of durations: seconds as a number, or text with a unit (ms, s, m, h, d)."""
    allowed = f"{_A_DURATION}, from {minimum:g} to {maximum:g} seconds"

    def read(value: object) -> float:
        seconds = _measured(value, _DURATION, _SECONDS)
        if seconds is None or not minimum <= seconds <= maximum:
            raise Unfit(allowed)
        return float(seconds)

    return read


def a_size(minimum: int, maximum: int = 1024**4) -> Read:
    """Return a reader of sizes: octets as a number, or text with a unit (B, KiB, MiB, GiB, kB, MB, GB)."""
    allowed = f"{_A_SIZE}, from {minimum} to {maximum} octets"

    def read(value: object) -> int:
        octets = _measured(value, _SIZE, _OCTETS)
        if octets is None or octets != int(octets) or not minimum <= octets <= maximum:
            raise Unfit(allowed)
        return int(octets)

    return read


def a_count(minimum: int, maximum: int) -> Read:
    """Return a reader of whole numbers."""
    allowed = f"a whole number from {minimum} to {maximum}"

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise Unfit(allowed)
        return value

    return read


def a_number(minimum: float, maximum: float) -> Read:
    """Return a reader of numbers, whole or not."""
    allowed = f"a number from {minimum:g} to {maximum:g}"

    def read(value: object) -> float:
        number = _measured(value, _DURATION, {}) if isinstance(value, int | float) else None
        if number is None or not minimum <= number <= maximum:
            raise Unfit(allowed)
        return float(number)

    return read


def one_of(choices: type[enum.Enum]) -> Read:
    """Return a reader of the values of an enumeration."""
    allowed = " or ".join(json.dumps(choice.value) for choice in choices)

    def read(value: object) -> enum.Enum:
        try:
            return choices(value)
        except ValueError:
            raise Unfit(allowed) from None

    return read


def a_next_hop(value: object) -> str:
    """Read the destination of a route; see `read_destination`. An IP address becomes a literal."""
    # The mail client reads its own values with this module, and needs no routes.
    from emailsys.mail.next_hop import DESTINATIONS, read_destination
    from emailsys.mail.pipe import MACROS, is_pipe, read_command
    from emailsys.mail.webhook import is_webhook, read_url

    if isinstance(value, str) and is_webhook(value):
        url = read_url(value)
        if url is None:
            raise Unfit("a URL of HTTPS without a login or a fragment; http:// only for this machine")
        return url
    if isinstance(value, str) and is_pipe(value):
        command = read_command(value)
        if command is None:
            macros = ", ".join(f"${{{name}}}" for name in MACROS)
            raise Unfit(
                f"a command on one line that begins with an absolute path; its arguments may name {macros}; "
                'a script after sh -c has "$RECIPIENT" and "$SENDER" for the addresses'
            )
        return f"pipe:{command}"
    destination = read_destination(value) if isinstance(value, str) else None
    if destination is None:
        raise Unfit(
            f'{DESTINATIONS}; or the URL of a webhook, such as "https://app.example.net/mail"; or a command, such as '
            '"pipe:/usr/local/bin/tickets ${recipient}"'
        )
    return destination


def a_fingerprint(value: object) -> str:
    """Read the SHA-256 fingerprint of a certificate, with or without colons."""
    digits = value.replace(":", "").lower() if isinstance(value, str) else ""
    if not _FINGERPRINT.fullmatch(digits):
        raise Unfit("the SHA-256 fingerprint of the host's certificate, 64 hexadecimal digits")
    return digits


def a_domain(value: object) -> str:
    """Read a mail domain. It becomes lower case."""
    if not isinstance(value, str) or not is_mail_domain(value):
        raise Unfit('a mail domain, such as "example.org"')
    return value.lower()


def some_text(value: object) -> str:
    """Read text on one line."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Unfit("text on one line, in quotes")
    return value


def mail_domains(value: object) -> tuple[str, ...]:
    """Read a list of mail domains. They become lower case."""
    if not isinstance(value, list):
        raise Unfit('a list of mail domains, such as ["example.net"]')
    return tuple(map(a_domain, value))


def networks(value: object) -> tuple[str, ...]:
    """Read a list of networks."""
    allowed = 'a list of networks without host bits, such as ["192.0.2.0/24", "2001:db8::/32"]'
    if not isinstance(value, list):
        raise Unfit(allowed)
    found: list[str] = []
    for item in value:
        try:
            found.append(str(ipaddress.ip_network(item if isinstance(item, str) else "")))
        except ValueError:
            raise Unfit(allowed, item) from None
    return tuple(found)


def senders(value: object) -> tuple[str, ...]:
    """Read a list of senders: addresses and networks, in the form in which senders are counted."""
    allowed = 'a list of addresses and networks, such as ["news@example.org", "192.0.2.0/24"]'
    if not isinstance(value, list):
        raise Unfit(allowed)
    found: list[str] = []
    for item in value:
        try:
            if isinstance(item, str) and "@" in item:
                # A catch-all has no local part.
                local, _, domain = item.rpartition("@")
                key = parse(item).key if local else ("", domain_key(domain))
                found.append("@".join(key))
            else:
                found.append(str(ipaddress.ip_network(item if isinstance(item, str) else "")))
        except ValueError:
            raise Unfit(allowed, item) from None
    return tuple(found)


def an_ip_address(version: int) -> Read:
    """Return a reader of IP addresses. @param version: 4 or 6."""
    allowed = 'an IPv4 address, such as "192.0.2.1"' if version == 4 else 'an IPv6 address, such as "2001:db8::1"'

    def read(value: object) -> str:
        try:
            address = ipaddress.ip_address(value if isinstance(value, str) else "")
        except ValueError:
            raise Unfit(allowed) from None
        if address.version != version:
            raise Unfit(allowed)
        return str(address)

    return read


def ip_addresses(value: object) -> tuple[str, ...]:
    """Read a list of IP addresses."""
    allowed = 'a list of IP addresses, such as ["192.0.2.1", "2001:db8::1"]'
    if not isinstance(value, list):
        raise Unfit(allowed)
    found: list[str] = []
    for item in value:
        try:
            found.append(str(ipaddress.ip_address(item if isinstance(item, str) else "")))
        except ValueError:
            raise Unfit(allowed, item) from None
    return tuple(found)


def name_servers(value: object) -> tuple[tuple[str, int], ...]:
    """Read a list of name servers: IP addresses with or without a port."""
    allowed = 'a list of name servers, such as ["192.0.2.53", "127.0.0.1:5353", "[2001:db8::53]:53"]'
    if not isinstance(value, list):
        raise Unfit(allowed)
    found: list[tuple[str, int]] = []
    for item in value:
        match = _LISTEN.fullmatch(item) if isinstance(item, str) else None
        host, port = (match[1].strip("[]"), int(match[2])) if match else (str(item).strip("[]"), _DNS_PORT)
        try:
            found.append((str(ipaddress.ip_address(host)), port))
        except ValueError:
            raise Unfit(allowed, item) from None
        if not 1 <= port <= 65535:
            raise Unfit(allowed, item)
    return tuple(found)


def a_host_name(value: object) -> str:
    """Read the name of this host, in A-labels. It becomes lower case."""
    if not isinstance(value, str) or not _HOST_NAME.fullmatch(value.lower()):
        raise Unfit('the full name of this host, such as "mail.example.org" (letters, digits, hyphens and dots)')
    return value.lower()


def host_names(value: object) -> tuple[str, ...]:
    """Read a list of host names. They become lower case."""
    allowed = 'a list of host names, such as ["mail.example.org"]'
    if not isinstance(value, list):
        raise Unfit(allowed)
    for item in value:
        if not isinstance(item, str) or not _HOST_NAME.fullmatch(item.lower()):
            raise Unfit(allowed, item)
    return tuple(item.lower() for item in value)


def an_account_name(value: object) -> str:
    """Read the name of a user or group of the operating system."""
    if not isinstance(value, str) or not _ACCOUNT_NAME.fullmatch(value):
        raise Unfit('the name of a user or group of this machine, such as "emailsys"')
    return value


def a_store_url(value: object) -> str:
    """Read a SQLAlchemy URL of SQLite or PostgreSQL."""
    if not isinstance(value, str) or not _STORE_URL.fullmatch(value):
        raise Unfit('"sqlite:////path/to/file" or "postgresql://user@host/database"')
    if value.startswith("postgresql"):
        host = value.partition("://")[2].rpartition("@")[2]
        port = re.split("[/?]", host, maxsplit=1)[0].rpartition("]")[2].partition(":")[2]
        if port and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
            raise Unfit('a port from 1 to 65535, as in "postgresql://user@host:5432/database"')
    return value


def a_file_name(value: object) -> str:
    """Read the name of a file."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise Unfit('the name of a file, such as "/etc/emailsys/fullchain.pem"')
    return value


def listen_addresses(value: object) -> tuple[tuple[str, int], ...]:
    """Read one address to listen on, or a list of them: pairs of host and port.

    The host is an IP address, `*` or `localhost`.
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        raise Unfit(f"a list of addresses; each is {AN_ADDRESS}")
    pairs: list[tuple[str, int]] = []
    for item in given:
        pair = _listen_address(item)
        if pair in pairs:
            raise Unfit("each address once", item)
        pairs.append(pair)
    return tuple(pairs)


def _listen_address(item: object) -> tuple[str, int]:
    match = _LISTEN.fullmatch(item) if isinstance(item, str) else None
    if match is None or int(match[2]) > 65535:
        raise Unfit(AN_ADDRESS, item)
    host, port = match[1], int(match[2])
    if host in (EVERY_ADDRESS, LOOPBACK):
        return host, port
    try:
        if host.startswith("["):
            return str(ipaddress.IPv6Address(host[1:-1])), port
        return str(ipaddress.IPv4Address(host)), port
    except ValueError:
        raise Unfit(AN_ADDRESS, item) from None


def _measured(value: object, pattern: re.Pattern[str], units: dict[str, Any]) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    match = pattern.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) * units[match[2]] if match else None


def shown_address(host: str, port: int) -> str:
    """Format an address to listen on as in the configuration."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown_duration(seconds: float) -> str:
    """Format a duration as in the configuration."""
    for unit, length in (("h", 3600.0), ("m", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f'"{int(seconds / length)}{unit}"'
    return f'"{seconds:g}s"'


def shown_size(octets: int) -> str:
    """Format a size as in the configuration."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets >= _OCTETS[unit] and octets % _OCTETS[unit] == 0:
            return f'"{octets // _OCTETS[unit]} {unit}"'
    return str(octets)
