"""The mail server that a probe examines: host, port, protocol, and the name that its certificate must have."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import idna

from emailsys.wiretap.probe.limits import Deadline, Failure, ProbeError


class Protocol(StrEnum):
    """A protocol, and how TLS begins in it."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"
    POP3 = "pop3"
    POP3S = "pop3s"

    @property
    def is_pop3(self) -> bool:
        """Whether it is POP3, else it is SMTP."""
        return self in (Protocol.POP3, Protocol.POP3S)

    @property
    def has_implicit_tls(self) -> bool:
        """Whether TLS begins at once, not by STARTTLS or STLS."""
        return self in (Protocol.SUBMISSIONS, Protocol.POP3S)


#: RFC 5321 §4.5.4.2, RFC 6409 §3.1, RFC 8314 §7.3, RFC 1939 §3, RFC 8314 §7.1.
PORTS: Final[Mapping[Protocol, int]] = {
    Protocol.SMTP: 25,
    Protocol.SUBMISSION: 587,
    Protocol.SUBMISSIONS: 465,
    Protocol.POP3: 110,
    Protocol.POP3S: 995,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A server to be examined.

    @ivar addresses: of the host, in the order in which they are tried.
    @ivar name: what its certificate must be for; the host if the user named no other.
    """

    host: str
    port: int
    protocol: Protocol
    addresses: tuple[str, ...]
    name: str

    @property
    def is_on_loopback(self) -> bool:
        """Whether all addresses are of this machine."""
        return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in self.addresses)

    @property
    def server_name(self) -> str:
        """The server name in the ClientHello; "" for an address (RFC 6066 §3)."""
        return "" if is_address(self.name) else self.name

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def split(text: str) -> tuple[str, int | None]:
    """Returns host and port of `HOST`, `HOST:PORT`, `[IPv6]:PORT` or `IPv6`.

    @raise ValueError: the port is none, or there is no host.
    """
    text = text.strip()
    if text.startswith("["):
        host, found, rest = text[1:].partition("]")
        if not found or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not [ADDRESS]:PORT")
        port = rest[1:]
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not host or (text.endswith(":") and not port and text.count(":") == 1):
        raise ValueError(f"{text!r} is not HOST or HOST:PORT")
    if not port:
        return a_labels(host), None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ValueError(f"{port!r} is not a port from 1 to 65535")
    return a_labels(host), int(port)


def a_labels(host: str) -> str:
    """Returns a host name as DNS has it, without the final dot.

    @raise ValueError: it is no name of a host.
    """
    if is_address(host):
        return host
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except (ValueError, idna.IDNAError) as error:
        raise ValueError(f"{host!r} is not the name of a host: {error}") from error
    name = name.removesuffix(".").lower()
    if not name or len(name) > 253 or not all(_is_label(label) for label in name.split(".")):
        raise ValueError(f"{host!r} is not the name of a host")
    return name


def _is_label(label: str) -> bool:
    return 0 < len(label) < 64 and all(c.isalnum() or c in "-_" for c in label)


def is_address(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def protocol_of(port: int) -> Protocol | None:
    """Returns the protocol of a well-known port; None for another port."""
    return next((protocol for protocol, known in PORTS.items() if known == port), None)


def find_addresses(host: str, deadline: Deadline) -> tuple[str, ...]:
    """Returns the addresses of a host, as the system finds them.

    @raise ProbeError: there are none, or they are not found in time.
    """
    found: list[str] = []
    errors: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            errors.append(error)
        else:
            found.extend(dict.fromkeys(str(info[4][0]) for info in infos))

    # The system's resolver cannot be told when to give up. Its thread is left behind if it hangs.
    thread = threading.Thread(target=look_up, name="emailsys probe: addresses", daemon=True)
    thread.start()
    thread.join(deadline.answer())
    if found:
        return tuple(found)
    why = getattr(errors[0], "strerror", None) or str(errors[0]) if errors else "no answer in time"
    raise ProbeError(Failure.UNREACHABLE, f"The addresses of {host} were not found: {why}.")
