"""Next hops: the next hop that routing chooses, and the hosts that it resolves to."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from emailsys.mail.ip import address_literal

# RFC 5321 §4.5.4.2: SMTP's own port.
SMTP_PORT = 25


class TLSPolicy(enum.Enum):
    """The TLS policy of a route."""

    #: TLS is never used.
    NONE = "none"
    #: TLS is used if the host offers it, with any certificate (RFC 7435).
    OPPORTUNISTIC = "opportunistic"
    #: TLS is required, with any certificate.
    REQUIRED = "required"
    #: TLS is required, and the certificate must name the host (RFC 6125).
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class HostLogin:
    """The login at a smart host (RFC 4954)."""

    username: str
    password: str = field(repr=False)
    #: Whether the password is a bearer token, for XOAUTH2.
    token: bool = False
    #: Whether the login may be sent without TLS, because the host is this machine.
    in_clear: bool = False


@dataclass(frozen=True, slots=True)
class ExpectedTLS:
    """What a host must show in a TLS handshake: a certificate for a name, the pinned one, or any.

    @ivar name: a host name or an IP address.
    @ivar x25519_only: whether X25519 is the only key exchange that is offered, so that the ClientHello fits into one
        segment.
    @ivar fingerprint: the SHA-256 of the only valid certificate, 64 hexadecimal digits; "" if the authorities decide.
    """

    name: str
    is_verified: bool
    fingerprint: str = ""
    x25519_only: bool = False


@dataclass(frozen=True, slots=True)
class NextHop:
    """The next hop that routing chooses for a recipient.

    @ivar name: a domain, a host name, or an address literal with its brackets.
    @ivar by_mx: whether to follow the MX records of `name`. Otherwise `name` is the host itself (a smart host), as an
        address literal always is.
    """

    name: str
    port: int = SMTP_PORT
    by_mx: bool = True
    tls: TLSPolicy = TLSPolicy.OPPORTUNISTIC
    #: Whether TLS begins with the first octet (RFC 8314 §3.3, port 465) instead of STARTTLS.
    implicit_tls: bool = False
    login: HostLogin | None = None
    #: The name that a verified certificate must have; "" for the name of the host.
    certificate_name: str = ""
    #: Whether an operator's route names this next hop. Its faults delay mail: they say nothing about the recipients.
    by_route: bool = False
    #: The SHA-256 of the certificate that the host must have, 64 hexadecimal digits; "" if it may have another one.
    certificate_fingerprint: str = ""

    @property
    def is_verified(self) -> bool:
        """Whether the certificate of the host is verified. A login implies it: the password is for that host alone."""
        wanted = self.login is not None or self.certificate_fingerprint or self.tls is TLSPolicy.VERIFIED
        return bool(wanted) and self.tls is not TLSPolicy.NONE

    @property
    def insists_on_tls(self) -> bool:
        """Whether mail waits until TLS is possible, and is never sent in the clear."""
        return self.is_verified or self.tls is TLSPolicy.REQUIRED

    @property
    def policy(self) -> TLSPolicy:
        """The TLS policy in force, with what a login or a pinned certificate implies."""
        return TLSPolicy.VERIFIED if self.is_verified else self.tls

    def expected_tls(self, host: Host) -> ExpectedTLS:
        """Return what a host of this next hop must show."""
        name = self.certificate_name or host.name or host.address
        return ExpectedTLS(name, self.is_verified, self.certificate_fingerprint)

    def __str__(self) -> str:
        name = self.name if self.by_mx or self.name.startswith("[") else f"[{self.name}]"
        return name if self.port == SMTP_PORT else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route to one named host for mail to a domain or from a domain; for all mail if both are empty."""

    next_hop: NextHop
    recipient_domain: str = ""
    sender_domain: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """One address of a host that accepts mail for a next hop. `name` comes from DNS, "" for an address literal."""

    name: str
    address: str
    port: int = SMTP_PORT

    def __str__(self) -> str:
        """The host as DSNs and the log name it: mx.example [192.0.2.1], with the port if it is not 25."""
        literal = address_literal(self.address)
        shown = f"{self.name} {literal}" if self.name else literal
        return shown if self.port == SMTP_PORT else f"{shown}:{self.port}"
