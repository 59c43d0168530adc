"""Settings that an operator can change: frozen values with their defaults. Times are in seconds, sizes in octets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emailsys.config.checks_settings import ChecksSettings
from emailsys.config.monitoring_settings import MonitoringSettings, WiretapSettings
from emailsys.mail.next_hop import TLSPolicy

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """The addresses on which one service listens, as host and port."""

    addresses: tuple[tuple[str, int], ...] = ()


class ForgedSender(enum.Enum):
    """The choices for a reverse-path of this system from a client that did not log in."""

    REFUSE = "refuse"
    ACCEPT = "accept"


class ForgedFrom(enum.Enum):
    """The choices for a message with a From address of this system from a client that did not log in."""

    MARK = "mark"
    REFUSE = "refuse"
    ACCEPT = "accept"


class EarlyTalker(enum.Enum):
    """The choices for a client that talks before the greeting of the receive port."""

    REFUSE = "refuse"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class SMTPSettings:
    """Limits and timeouts of SMTP sessions (RFC 5321 §4.5.3)."""

    max_message_size: int = 50 * MIB
    # The header section of a message, which is held in memory until it is complete. Real ones have a few KiB, those
    # with long lists of recipients tens of KiB. From 16 KiB to 16 MiB.
    max_header_size: int = 256 * 1024
    max_recipients: int = 1000
    # Maildrops and addresses on other hosts that the recipients of a message may lead to, after the expansion of
    # aliases. One alias leads to at most 1000 (`policy.expansion`), so fewer would refuse it for ever.
    max_routes: int = 10_000
    max_received_fields: int = 100
    # Recipients and commands answered with 5xx since the last message that was accepted; one more ends the session.
    max_refusals: int = 100
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    # For a whole message, in addition to the time that its octets take at 500 a second.
    message_timeout: float = 3600.0
    close_timeout: float = 5.0
    # At the same time, on the receive port, and on both submission ports together. Each is a pool of its own.
    max_connections: int = 5000
    max_submission_connections: int = 5000
    # Of each pool, from one address, or one IPv6 network of 64 bits; 0 for no limit.
    max_connections_per_ip: int = 50
    plaintext_auth_on_loopback: bool = False
    # Other networks whose hosts may log in without TLS, such as that of containers on this machine.
    plaintext_auth_networks: tuple[str, ...] = ()
    # Whether clients of routing.trusted_networks may send on the submission ports without a login, too.
    trusted_may_submit: bool = False
    # Whether messages with NUL, and with lines of more than 998 octets (RFC 5321 §4.5.3.1.6), are accepted from clients
    # that did not log in, except those of trusted networks. A message with NUL is never sent to other systems.
    accept_nul: bool = False
    accept_long_lines: bool = False
    # Addresses of this system from clients that did not log in, except those of trusted networks. A reverse-path of
    # ours is almost always forged; but mailing lists and forwarders rightly return messages of our users.
    forged_sender: ForgedSender = ForgedSender.REFUSE
    forged_from: ForgedFrom = ForgedFrom.MARK
    # Clients that talk before the greeting (RFC 5321 §4.3.1: they should wait for it) on the receive port, except those
    # exempt from limits. Servers wait; programs that only pour out spam do not.
    early_talker: EarlyTalker = EarlyTalker.REFUSE
    # Seconds before the greeting, 0 to 30, in which early talkers are noticed. Without a wait, only those are whose
    # octets have arrived when the greeting is written. Clients wait five minutes (RFC 5321 §4.5.3.2.1).
    greeting_wait: float = 0.0


@dataclass(frozen=True, slots=True)
class POP3Settings:
    """Limits and timeouts of POP3 sessions (RFC 1939 §3)."""

    login_timeout: float = 60.0
    session_timeout: float = 600.0
    takeover_after: float = 60.0
    close_timeout: float = 5.0
    # Processes that serve only these sessions, if `Settings.workers` is 0. 0: the daemon serves them itself.
    workers: int = 0
    # As with SMTP.
    max_connections: int = 5000
    max_connections_per_ip: int = 50
    plaintext_auth_on_loopback: bool = False
    plaintext_auth_networks: tuple[str, ...] = ()
    # What clients get that have not sent UTF8 (RFC 6856): SMTPUTF8 messages unchanged; else a surrogate (RFC 6858) or
    # a refusal.
    serve_utf8_raw: bool = False
    downgrade_utf8: bool = True
    # What the sessions read: "local" is the store, "plugin:NAME" a package. Seconds in which the package must answer.
    maildrops: str = "local"
    maildrop_deadline: float = 20.0


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its key, PEM."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """Certificates, the default first, the others chosen by SNI; none means the development CA of the state folder."""

    certificates: tuple[CertificateFiles, ...] = ()
    handshake_timeout: float = 30.0


#: Name of the SQLite file in the state folder.
DATABASE_NAME: Final = "mail.sqlite"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Storage of mail. `url` is a SQLAlchemy URL; None is the SQLite file in the state folder."""

    url: str | None = None
    # Octets that may wait for a commit. Beyond that, the servers read from clients more slowly.
    max_waiting_octets: int = 32 * MIB
    # Octets of memory for the lists of maildrops that were opened last; 0 to read each list again.
    maildrop_cache: int = 16 * MIB
    # Octets that a maildrop may have if its account has no quota of its own; 0 for no limit.
    default_quota: int = 0
    # Whether mail to a full maildrop or domain is refused permanently (552), not temporarily (452).
    refuse_over_quota: bool = False
    # Whether a maildrop that is nearly full gets a message that says so.
    quota_warning: bool = True
    # Days after which records of delivered mail are deleted, and days after which mail in maildrops is; 0 for never.
    history_days: float = 30.0
    maildrop_days: float = 0.0


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """Verification of passwords at logins, and the rule for new passwords."""

    max_waiting: int = 1000
    hashing_threads: int = 2
    # Characters, 0 to 128. With 0, every new password is accepted, also a common one. NIST SP 800-63B §5.1.1.2 requires
    # at least 8; 10 leaves no room for one word with two digits.
    min_password_length: int = 10
    # The checkers of passwords in their order ("local" is this store), and the seconds in which each must answer.
    auth: tuple[str, ...] = ("local",)
    auth_deadline: float = 10.0
    # Whether an account is made at the first login that another system accepts.
    create_accounts: bool = False


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Limits for clients that guess. All counts are in memory and lose half of themselves in each half-life."""

    # Failed logins of a network: an IPv4 address or a /64 network of IPv6. More are refused without verification. A
    # person who mistypes needs a few; 0 for no limit.
    max_failed_logins: int = 10
    # Unknown recipients of an unauthenticated network, less one for each message that is accepted from it. Beyond
    # that, all its recipients are refused temporarily; 0 for no limit.
    max_unknown_recipients: int = 20
    # Seconds. A network at the limit for failed logins may try again after about a seventh part of it.
    half_life: float = 900.0
    # Whether clients on this machine have no limits, those for connections included.
    exempt_loopback: bool = True


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Delivery attempts to other hosts: when, and how many at once (RFC 5321 §4.5.4.1)."""

    # The interval after the first attempt; each later one is longer by `retry_growth`, up to `max_retry`.
    first_retry: float = 300.0
    retry_growth: float = 2.0
    max_retry: float = 4 * 3600.0
    # The share of an interval by which it is shortened or lengthened at random.
    retry_jitter: float = 0.1
    warn_after: float = 4 * 3600.0
    give_up_after: float = 5 * 86400.0
    # Messages in delivery at the same time: to all hosts, and to one next hop. The latter is twice the number of
    # connections to one host, so that each connection has a next message.
    max_deliveries: int = 200
    max_per_next_hop: int = 20
    # RFC 5321 §4.5.3.1.8: every server takes 100.
    recipients_per_delivery: int = 100
    # Recipients held in memory.
    max_leased: int = 2000
    # A node that hangs for this time loses its leases. A row that its own node lost track of is due again after it.
    lease: float = 600.0
    # Pause before the next attempt at a next hop that could not be reached: the first one, and the longest one.
    first_pause: float = 60.0
    max_pause: float = 900.0
    # The longest time between two looks for rows that other processes made due.
    poll: float = 30.0
    # Time that deliveries get to end when the daemon stops.
    stop_grace: float = 20.0
    # Octets of a message that a bounce returns: the whole message if its sender requested that, else the header.
    max_returned: int = 64 * 1024
    # Notices to one address of another system in an hour; one domain may get ten times as many. 0 for no cap. A forged
    # sender must not get unlimited mail from us. Notices to our own accounts have no cap.
    max_notices_per_hour: int = 100


@dataclass(frozen=True, slots=True)
class OutboundTimeouts:
    """Time limits for a remote host. RFC 5321 §4.5.3.2 sets those of greeting, command, data, block and final."""

    connect: float = 30.0
    handshake: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    # For the host to read the next block of a message.
    block: float = 180.0
    # A client that hangs up before the final reply causes duplicates (RFC 1047).
    final: float = 600.0
    quit: float = 5.0
    # For all DNS lookups of one next hop.
    dns: float = 60.0


class AddressOrder(enum.Enum):
    """The address families of a host that are tried, in their order."""

    IPV4_FIRST = "ipv4-first"
    IPV6_FIRST = "ipv6-first"
    IPV4_ONLY = "ipv4-only"
    IPV6_ONLY = "ipv6-only"


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """Settings of outbound mail."""

    # Whether mail leaves. Otherwise it waits in the queue.
    enabled: bool = True
    timeouts: OutboundTimeouts = field(default_factory=OutboundTimeouts)
    # The TLS policy of mail without a route.
    tls: TLSPolicy = TLSPolicy.OPPORTUNISTIC
    # Whether mail goes in the clear after opportunistic handshakes have failed. Otherwise it waits.
    clear_after_failed_tls: bool = True
    # Whether the ClientHello offers session tickets (RFC 5077). Some hosts fail on them. No session is resumed, so
    # tickets bring nothing, but a ClientHello without them is rare and may look suspicious.
    session_tickets: bool = True
    # CA certificates in PEM form; None for those of the system.
    ca_file: Path | None = None
    # Name servers, each with address and port; none for those of the system.
    nameservers: tuple[tuple[str, int], ...] = ()
    address_order: AddressOrder = AddressOrder.IPV4_FIRST
    # Whether mail without a route may go to addresses that are not public (`mail.ip.is_public`). Otherwise a stranger's
    # DNS records or address literals could make this system connect to services of its own machine or network.
    allow_private: bool = False
    # Further addresses that lead to this machine, such as that of the router.
    own_addresses: tuple[str, ...] = ()
    # Source addresses of connections; "" if the system chooses.
    source_ipv4: str = ""
    source_ipv6: str = ""
    connections_per_host: int = 10
    # Maximum number of idle connections, and how many seconds each stays open.
    idle_connections: int = 500
    idle_timeout: float = 10.0
    messages_per_connection: int = 1000
    # Maximum number of hosts of a next hop that one attempt tries.
    hosts_per_attempt: int = 5


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """A route: mail for a domain, from a domain, or all mail goes to this host instead of MX hosts."""

    host: str
    port: int = 25
    recipient_domain: str = ""
    sender_domain: str = ""
    tls: TLSPolicy = TLSPolicy.OPPORTUNISTIC
    implicit_tls: bool = False
    # The name that a verified certificate must have; "" for the name of the host.
    certificate_name: str = ""
    # The SHA-256 of the only valid certificate, 64 hexadecimal digits; "" if the authorities decide.
    certificate_fingerprint: str = ""
    username: str = ""
    # `password` is the content of the file, without its line end.
    password_file: Path | None = None
    password: str = field(default="", repr=False)
    # For a webhook: `secret` is the content of the file, with which requests are signed.
    secret_file: Path | None = None
    secret: str = field(default="", repr=False)
    # For a command: the user that runs it, "" for the user of the daemon, and seconds until it is ended.
    user: str = ""
    time_limit: float | None = None


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Routes, networks that may relay without a login, and rewritten senders (SRS)."""

    routes: tuple[RouteSettings, ...] = ()
    # Networks whose hosts may send to any address without a login, such as that of a printer.
    trusted_networks: tuple[str, ...] = ()
    # Domains of other systems to which any client may send.
    relay_domains: tuple[str, ...] = ()
    # Whether mail that an alias forwards to another system gets a reverse-path of this system, so that it passes SPF
    # there; and the domain of that path, "" for the domain that was added first.
    srs: bool = True
    srs_domain: str = ""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The web face. It listens nowhere by default."""

    # Plain HTTP on loopback; beyond it HTTPS with the certificates of [tls].
    listen: tuple[tuple[str, int], ...] = ()
    # Whether a proxy in front ends TLS: HTTP everywhere, and the browser's address is the last of X-Forwarded-For.
    behind_proxy: bool = False
    # Names by which browsers reach it, besides `hostname`, the names of loopback and the addresses in `listen`.
    hosts: tuple[str, ...] = ()
    # Seconds after which a login ends: without a request, and in any case.
    idle_timeout: float = 3600.0
    session_timeout: float = 12 * 3600.0
    # Connections at the same time, and from one address; 0 for no limit.
    max_connections: int = 500
    max_connections_per_ip: int = 50


@dataclass(frozen=True, slots=True)
class SendingSettings:
    """How much an account, a trusted network or a forwarding alias may send to other systems; 0 for no limit.

    Mail beyond a limit is accepted, and held in the queue until an operator releases it.
    """

    messages_per_hour: int = 0
    messages_per_day: int = 0
    # A person writes to a few hundred recipients a day; a stolen account, to as many as it is allowed.
    recipients_per_hour: int = 500
    recipients_per_day: int = 2000
    # Accounts and aliases, as addresses, and trusted networks that have no limit: a newsletter.
    unlimited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a daemon."""

    hostname: str
    state: Path
    smtp_listen: Listen = Listen()
    submission_listen: Listen = Listen()
    submissions_listen: Listen = Listen()
    pop3_listen: Listen = Listen()
    pop3s_listen: Listen = Listen()
    smtp: SMTPSettings = field(default_factory=SMTPSettings)
    pop3: POP3Settings = field(default_factory=POP3Settings)
    tls: TLSSettings = field(default_factory=TLSSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    login: LoginSettings = field(default_factory=LoginSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    sending: SendingSettings = field(default_factory=SendingSettings)
    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    wiretap: WiretapSettings = field(default_factory=WiretapSettings)
    web: WebSettings = field(default_factory=WebSettings)
    checks: ChecksSettings = field(default_factory=ChecksSettings)
    user: str | None = None
    group: str | None = None
    # Processes that serve SMTP and POP3 beside the daemon. 0: the daemon serves both itself.
    workers: int = 0
    # The file with these settings; None for the embedded default.
    source: Path | None = field(default=None, compare=False)
