"""What an SMTP client session waits for, and what it tells its caller."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, Transmission
from emailsys.wire.smtp.client_commands import Extensions


class Step(enum.Enum):
    """What the session waits for; each has a timeout of its own (RFC 5321 §4.5.3.2)."""

    GREETING = "the greeting"
    HELLO = "the reply to EHLO"
    STARTTLS = "the reply to STARTTLS"
    HANDSHAKE = "the TLS handshake"
    AUTH = "the reply to AUTH"
    MAIL = "the reply to MAIL"
    RCPT = "the reply to RCPT"
    DATA = "the reply to DATA"
    BODY = "the message being read"
    CHUNK = "the reply to BDAT"
    FINAL = "the reply to the end of the message"
    RESET = "the reply to RSET"
    QUIT = "the reply to QUIT"


@dataclass(frozen=True, slots=True)
class Ready:
    """EHLO or HELO was answered: choose STARTTLS, a login or a transmission."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class BeginTLS:
    """The server awaits the handshake now."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The login succeeded."""


@dataclass(frozen=True, slots=True)
class SendBody:
    """The server wants the body: call `body` for its pieces, then `end_body`; `stop_body` if `body_unwanted`."""

    transmission: Transmission


@dataclass(frozen=True, slots=True)
class Settled:
    """Each recipient of a transmission has its outcome. `untouched`: the server has not said a word about it."""

    transmission: Transmission
    outcomes: Sequence[Outcome]
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """The session can do nothing more: close the connection. `from_remote` tells who said so."""

    reply: Reply
    from_remote: bool
    #: The server answered STARTTLS with a refusal: another connection may do without.
    tls_refused: bool = False
    #: It would say the same later.
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Goodbye:
    """QUIT was answered."""


Event = Ready | BeginTLS | LoggedIn | SendBody | Settled | Unusable | Goodbye
