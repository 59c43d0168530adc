"""Next hops: the next hop that routing chooses, and the hosts that it resolves to."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from emailsys.mail.address import host_name
from emailsys.mail.ip import address_literal
from emailsys.mail.webhook import Webhook, is_webhook, port_of

if TYPE_CHECKING:
    from emailsys.mail.pipe import Pipe

# RFC 5321 §4.5.4.2: SMTP's own port.
SMTP_PORT: Final = 25
# "Any private mail system" in IANA's registry. RFC 2033 §5 forbids port 25.
LMTP_PORT: Final = 24
# A route to a mailbox server that speaks LMTP begins with this word; the name of a host or a socket follows.
_LMTP: Final = "lmtp:"
# The longest name of a socket that Linux accepts (sockaddr_un), without its final NUL.
_MAX_SOCKET: Final = 107


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
    """The certificate that a host must show in a TLS handshake: one for a name, the pinned one, or any.

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

    @ivar name: a domain, a host name, an address literal with its brackets, or the absolute path of a Unix socket.
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
    #: Whether an operator names this next hop, in a route or as a relay domain. Its faults delay mail: they say nothing
    #: about the recipients.
    by_route: bool = False
    #: The SHA-256 of the certificate that the host must have, 64 hexadecimal digits; "" if it may have another one.
    certificate_fingerprint: str = ""
    #: Whether the host is a mailbox server that speaks LMTP (RFC 2033). Each recipient has a final reply of its own.
    lmtp: bool = False
    #: The program that gets the mail by HTTP in place of a host; `name` and `port` are those of its host.
    webhook: Webhook | None = None
    #: The command that gets the mail in place of a host; `name` is its program.
    pipe: Pipe | None = None

    def __hash__(self) -> int:
        # Two next hops seldom differ only in other fields, and each message needs several hashes.
        return hash((self.name, self.port))

    @property
    def is_socket(self) -> bool:
        """Whether the next hop is a Unix socket of this machine."""
        return is_socket(self.name)

    @property
    def destination(self) -> str:
        """The host or socket as a route names it; see `read_destination`."""
        if self.webhook is not None:
            return self.webhook.url
        if self.pipe is not None:
            return f"pipe:{self.pipe.command}"
        return f"{_LMTP}{self.name}" if self.lmtp else self.name

    def at_destination(self) -> NextHop:
        """Return the next hop of a route whose destination, from `read_destination`, is the name of this one.

        TLS that is only an opportunity is not used at a socket.
        """
        name = self.name.removeprefix(_LMTP)
        tls = TLSPolicy.NONE if is_socket(name) and self.tls is TLSPolicy.OPPORTUNISTIC else self.tls
        return replace(self, name=name, by_mx=False, tls=tls, lmtp=name != self.name)

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
        if self.webhook is not None or self.pipe is not None:
            return str(self.webhook or self.pipe)
        if self.is_socket:
            return self.destination
        name = self.name if self.by_mx or self.name.startswith("[") else f"[{self.name}]"
        shown = name if self.port == default_port(self.destination) else f"{name}:{self.port}"
        return f"{_LMTP}{shown}" if self.lmtp else shown


#: What an operator may write as the destination of a route.
DESTINATIONS: Final = (
    'the name of a host, such as "smtp.example.net", or an IP address, such as "192.0.2.1"; for LMTP, one of them or '
    'the path of a socket after "lmtp:", such as "lmtp:/run/dovecot/lmtp"'
)


def read_destination(text: str) -> str | None:
    """Return the destination of a route as an operator has written it, normalized; None if it is malformed.

    It is a host name or an IP address. After "lmtp:", it may also be the absolute path of a Unix socket.
    """
    is_lmtp = text.lower().startswith(_LMTP)
    place = text[len(_LMTP) :] if is_lmtp else text
    if is_lmtp and is_socket(place):
        return f"{_LMTP}{place}" if place.isprintable() and len(place.encode()) <= _MAX_SOCKET else None
    name = host_name(place)
    return f"{_LMTP}{name}" if name is not None and is_lmtp else name


def is_socket(name: str) -> bool:
    """Whether the name of a host is the path of a Unix socket."""
    return name.startswith("/")


def leads_to_socket(destination: str) -> bool:
    """Whether a destination is a Unix socket."""
    return is_socket(destination.removeprefix(_LMTP))


def default_port(destination: str) -> int:
    """Return the port of a destination whose route names none."""
    if is_webhook(destination):
        return port_of(destination)
    return LMTP_PORT if destination.startswith(_LMTP) else SMTP_PORT


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route to one named host for mail to a domain or from a domain; for all mail if both are empty."""

    next_hop: NextHop
    recipient_domain: str = ""
    sender_domain: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """One address of a host that accepts mail for a next hop. `name` comes from DNS, "" for an address literal.

    @ivar address: an IP address, or the path of a Unix socket.
    """

    name: str
    address: str
    port: int = SMTP_PORT

    def __str__(self) -> str:
        """The host as DSNs and the log name it: mx.example [192.0.2.1], a port that is not 25, or the socket."""
        if is_socket(self.address):
            return self.address
        literal = address_literal(self.address)
        shown = f"{self.name} {literal}" if self.name else literal
        return shown if self.port == SMTP_PORT else f"{shown}:{self.port}"
