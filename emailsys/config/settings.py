"""The settings an operator may change, as frozen values with their defaults. Times are seconds, sizes octets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """Where one service listens: any number of addresses, as host and port."""

    addresses: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SMTPSettings:
    """Limits and timeouts of SMTP sessions (RFC 5321 §4.5.3)."""

    max_message_size: int = 50 * MIB
    max_recipients: int = 1000
    max_received_fields: int = 100
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    close_timeout: float = 5.0
    plaintext_auth_on_loopback: bool = False


@dataclass(frozen=True, slots=True)
class POP3Settings:
    """Limits and timeouts of POP3 sessions (RFC 1939 §3)."""

    login_timeout: float = 60.0
    session_timeout: float = 600.0
    takeover_after: float = 60.0
    close_timeout: float = 5.0
    plaintext_auth_on_loopback: bool = False
    serve_utf8_raw: bool = False


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


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where mail is kept: a SQLAlchemy URL, or None for the SQLite file of the state folder."""

    url: str | None = None
    # Octets of writes that may wait for their commit before reading from clients pauses.
    max_waiting_octets: int = 32 * MIB


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """How passwords are checked."""

    max_waiting: int = 1000
    hashing_threads: int = 2


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """When mail for other hosts is tried, and how much of it at once (RFC 5321 §4.5.4.1)."""

    # The interval after the first attempt; each later one is longer by `retry_growth`, up to `max_retry`.
    first_retry: float = 300.0
    retry_growth: float = 2.0
    max_retry: float = 4 * 3600.0
    # The part of an interval by which chance may shorten or lengthen it.
    retry_jitter: float = 0.1
    warn_after: float = 4 * 3600.0
    give_up_after: float = 5 * 86400.0
    # Messages on their way at once: to all hosts, and to one next hop.
    max_deliveries: int = 200
    max_per_next_hop: int = 20
    # RFC 5321 §4.5.3.1.8: every server takes 100.
    recipients_per_delivery: int = 100
    # Recipients held in memory.
    max_leased: int = 2000
    # How long a row is ours without word from us; after a crash it is due again when that has passed.
    lease: float = 600.0
    # How long a next hop that could not be reached is left alone: at first, and at most.
    first_pause: float = 60.0
    max_pause: float = 900.0
    # How often the queue is looked at, at least, for rows that others made due.
    poll: float = 30.0
    # How long deliveries under way may go on when the daemon stops.
    stop_grace: float = 20.0
    # Of a message that is returned, the whole up to that size where the sender asked so, else its header up to it.
    max_returned: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a daemon is told."""

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
    queue: QueueSettings = field(default_factory=QueueSettings)
    user: str | None = None
    group: str | None = None
