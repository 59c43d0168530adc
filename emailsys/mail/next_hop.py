"""Where a message goes next: the next hop as routing names it, and the hosts it turns out to be."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from emailsys.mail.trace_fields import address_literal

# RFC 5321 §4.5.4.2: SMTP's own port.
SMTP_PORT = 25


class TLSPolicy(enum.Enum):
    """What a route asks of TLS."""

    #: Never asked for.
    NONE = "none"
    #: Used where offered, whatever the certificate says (RFC 7435).
    OPPORTUNISTIC = "opportunistic"
    #: No mail without it; the certificate may be anybody's.
    REQUIRED = "required"
    #: No mail without it, and the certificate must name the host (RFC 6125).
    VERIFIED = "verified"

    @property
    def insists(self) -> bool:
        """Whether mail waits rather than goes in the clear."""
        return self in (TLSPolicy.REQUIRED, TLSPolicy.VERIFIED)


@dataclass(frozen=True, slots=True)
class HostLogin:
    """How we log in at a smart host (RFC 4954)."""

    username: str
    password: str = field(repr=False)
    #: The password is a bearer token, for XOAUTH2.
    token: bool = False
    #: It need not go by TLS: the host is this machine.
    in_clear: bool = False


@dataclass(frozen=True, slots=True)
class NextHop:
    """What routing answers for a recipient.

    `name` is a domain, a host name, or an address literal with its brackets. With `by_mx` its MX records are followed,
    without it is the host itself (a smart host); a literal is always the host itself.
    """

    name: str
    port: int = SMTP_PORT
    by_mx: bool = True
    tls: TLSPolicy = TLSPolicy.OPPORTUNISTIC
    #: TLS from the first octet on (RFC 8314 §3.3, port 465), not by STARTTLS.
    implicit_tls: bool = False
    login: HostLogin | None = None
    #: The name the certificate must bear where TLS is verified; "" for the host's own.
    certificate_name: str = ""

    def __str__(self) -> str:
        name = self.name if self.by_mx or self.name.startswith("[") else f"[{self.name}]"
        return name if self.port == SMTP_PORT else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostRoute:
    """Mail that goes to one named host: that for a domain, that from a domain, or with both empty all of it."""

    next_hop: NextHop
    recipient_domain: str = ""
    sender_domain: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """One address of one host that takes mail for a next hop. `name` is as DNS gave it, "" for an address literal."""

    name: str
    address: str
    port: int = SMTP_PORT

    def __str__(self) -> str:
        """As DSNs and the log name it: mx.example [192.0.2.1], with the port where it is not 25."""
        literal = address_literal(self.address)
        shown = f"{self.name} {literal}" if self.name else literal
        return shown if self.port == SMTP_PORT else f"{shown}:{self.port}"
