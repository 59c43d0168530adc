"""Values of an account: address, servers, and sources of secrets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.client.accounts.rule_values import Rule

#: RFC 8314 §3.2, §3.3; RFC 6409 §3.1; RFC 1939 §3.
POP3S_PORT: Final = 995
POP3_PORT: Final = 110
SUBMISSIONS_PORT: Final = 465
SUBMISSION_PORT: Final = 587


class AccountError(Exception):
    """An account, the accounts file, or a secret is invalid. The message can be shown to the user."""


class Security(enum.Enum):
    """Protection of a connection."""

    #: Implicit TLS (RFC 8314 §3).
    TLS = "tls"
    #: STARTTLS (RFC 3207) or STLS (RFC 2595). Without it there is no login.
    STARTTLS = "starttls"
    #: No TLS. Logins are then possible only on this machine.
    NONE = "none"


class Auth(enum.Enum):
    """Login method."""

    #: PLAIN, LOGIN, or USER and PASS, as the server offers.
    PASSWORD = "password"  # noqa: S105 - the name of a way to log in
    #: XOAUTH2 with a bearer token (RFC 6750) that a command prints.
    TOKEN = "token"  # noqa: S105
    #: No login. Only for submission servers that require none.
    NONE = "none"


class SecretKind(enum.Enum):
    """Kind of source of a password or token."""

    #: The system's keyring.
    KEYRING = "keyring"
    #: The first line of a command's output.
    COMMAND = "command"
    #: A prompt, once per run.
    PROMPT = "prompt"
    #: The accounts file, if the user wrote the password there. This program never does.
    FILE = "file"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Source of a password or token. `command` is run without a shell; `value` is for SecretKind.FILE."""

    kind: SecretKind = SecretKind.KEYRING
    command: tuple[str, ...] = ()
    value: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """One server of an account: POP3 or submission.

    `ca_file` contains the CA certificates (PEM) to trust instead of the system's. `fingerprint` pins a certificate: its
    SHA-256 (DER) in 64 lower-case hexadecimal digits. Then only that certificate is trusted, whatever its contents.
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
    """The choices for fetched messages on the server: keep them, or delete them at some time."""

    LEAVE = "leave"
    DELETE = "delete"
    DAYS = "days"


@dataclass(frozen=True, slots=True)
class Keep:
    """When fetched messages are deleted on the server. `days`, at least 1, count from the fetch."""

    kind: KeepKind = KeepKind.LEAVE
    days: int = 0


LEAVE: Final = Keep()
#: Minutes between two fetches of the full screen, if the account says nothing else.
FETCH_EVERY: Final = 5


@dataclass(frozen=True, slots=True)
class Notification:
    """The notification after a fetch that brought mail. Without a `command`, the desktop shows it."""

    command: tuple[str, ...] = ()


class Encrypt(enum.Enum):
    """When new messages are encrypted with OpenPGP."""

    NEVER = "never"
    #: If there is a certified key for each recipient.
    WHEN_POSSIBLE = "when-possible"
    #: Otherwise the message is not sent.
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Account:
    """One account.

    - `name` is the user's name for it and for its folder: letters, digits, `.`, `_`, `-`, `@`, `+`.
    - `max_octets`: larger messages stay on the server until they are requested; None for no limit.
    - `copy_to_sent`: a copy of each sent message is stored in the folder Sent.
    - `sign`, `encrypt`: whether new messages are signed and encrypted with OpenPGP.
    - `openpgp_key`: the id of the user's key; "" for the one with the address of the sender.
    - `aliases`: other addresses whose mail arrives in this account, and from which it can send.
    - `signature`: text below the user's own messages, without the line "-- " above it; "" for none.
    - `fetch_every`: minutes between two fetches of the full screen; 0 if it never fetches by itself.
    - `notify`: what is run after a fetch that brought mail, or None.
    - `rules`: where fetched messages go, and how they are marked. If one of them is wrong, there are none: the errors
      are in `rule_problems`, and all messages go into Inbox.
    """

    name: str
    address: Address
    display_name: str = ""
    pop3: Server | None = None
    smtp: Server | None = None
    keep: Keep = LEAVE
    max_octets: int | None = None
    copy_to_sent: bool = True
    sign: bool = False
    encrypt: Encrypt = Encrypt.NEVER
    openpgp_key: str = ""
    aliases: tuple[Address, ...] = ()
    signature: str = ""
    fetch_every: int = FETCH_EVERY
    notify: Notification | None = None
    rules: tuple[Rule, ...] = ()
    rule_problems: tuple[str, ...] = field(default=(), compare=False)

    def owns(self, address: Address) -> bool:
        """Whether mail to an address arrives in this account: its own, an alias, or one of these with a "+tag"."""
        own = {one.key for one in (self.address, *self.aliases)}
        local, domain = address.key
        # RFC 5233 §1: the subaddress follows the first separator.
        return (local, domain) in own or (local.partition("+")[0], domain) in own
