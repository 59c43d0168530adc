"""What an account is: an address, the servers its mail comes from and goes by, and where its password is kept."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emailsys.mail.address import Address

#: RFC 8314 §3.2, §3.3; RFC 6409 §3.1; RFC 1939 §3.
POP3S_PORT: Final = 995
POP3_PORT: Final = 110
SUBMISSIONS_PORT: Final = 465
SUBMISSION_PORT: Final = 587


class AccountError(Exception):
    """Accounts, their file or their secrets are not as they should be; the message is fit to be shown."""


class Security(enum.Enum):
    """How the connection is protected."""

    #: TLS from the first octet on (RFC 8314 §3).
    TLS = "tls"
    #: STARTTLS (RFC 3207) or STLS (RFC 2595); no login without it.
    STARTTLS = "starttls"
    #: None. A login then needs a server on this machine.
    NONE = "none"


class Auth(enum.Enum):
    """How the client logs in."""

    #: PLAIN, LOGIN, or USER and PASS, whichever the server has.
    PASSWORD = "password"  # noqa: S105 - the name of a way to log in
    #: XOAUTH2 with a bearer token (RFC 6750), which a command prints.
    TOKEN = "token"  # noqa: S105
    #: Not at all; only for sending through a server that asks for none.
    NONE = "none"


class SecretKind(enum.Enum):
    """Where a password or token comes from."""

    #: The system's keyring.
    KEYRING = "keyring"
    #: The first line that a command prints.
    COMMAND = "command"
    #: A person, once a run.
    PROMPT = "prompt"
    #: The accounts file itself, where somebody wrote it by hand; never written there by us.
    FILE = "file"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a password or token is kept. `command` is run without a shell; `value` is for SecretKind.FILE."""

    kind: SecretKind = SecretKind.KEYRING
    command: tuple[str, ...] = ()
    value: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """One server of an account: POP3 or submission.

    `ca_file` holds authorities (PEM) to trust instead of the system's. `fingerprint` is the SHA-256 of the server's
    certificate (DER) in 64 lower-case hexadecimal digits: that certificate is trusted, whatever it says, and no other.
    """

    host: str
    port: int
    security: Security = Security.TLS
    username: str = ""
    auth: Auth = Auth.PASSWORD
    secret: SecretSource = SecretSource()
    ca_file: Path | None = None
    fingerprint: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class KeepKind(enum.Enum):
    """What becomes of messages on the server once they are here."""

    LEAVE = "leave"
    DELETE = "delete"
    DAYS = "days"


@dataclass(frozen=True, slots=True)
class Keep:
    """When messages that were fetched are deleted from the server; `days`, from 1 on, count from the fetch."""

    kind: KeepKind = KeepKind.LEAVE
    days: int = 0


LEAVE: Final = Keep()


@dataclass(frozen=True, slots=True)
class Account:
    """One account. `name` is what a person calls it and its folders bear it: letters, digits, `.`, `_`, `-`, `@`, `+`.

    `max_octets` is the size over which messages are left on the server until they are asked for; None for no limit.
    `copy_to_sent` keeps what was sent in the folder Sent.
    """

    name: str
    address: Address
    display_name: str = ""
    pop3: Server | None = None
    smtp: Server | None = None
    keep: Keep = LEAVE
    max_octets: int | None = None
    copy_to_sent: bool = True
