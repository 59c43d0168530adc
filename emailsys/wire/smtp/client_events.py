"""Steps and events of an SMTP client session."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, Transmission
from emailsys.wire.smtp.client_commands import Extensions


class Step(enum.Enum):
    """A step that the session waits for. Each step has its own timeout (RFC 5321 §4.5.3.2)."""

    # Members are single objects. The hash of enum.Enum is a Python function, and each message costs one.
    __hash__ = object.__hash__

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


# The steps of every message. Python 3.11 takes a tenth of a microsecond to look a member up in its class.
MAIL: Final = Step.MAIL
RCPT: Final = Step.RCPT
DATA: Final = Step.DATA
BODY: Final = Step.BODY
CHUNK: Final = Step.CHUNK
FINAL: Final = Step.FINAL


@dataclass(frozen=True, slots=True)
class Ready:
    """EHLO or HELO succeeded. Call `starttls`, `login` or `begin` next."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class BeginTLS:
    """The server is ready for the TLS handshake."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The login succeeded."""


@dataclass(frozen=True, slots=True)
class SendBody:
    """The server accepts the body. Call `body` for its pieces, then `end_body`; or `stop_body` if `body_unwanted`."""

    transmission: Transmission


@dataclass(frozen=True, slots=True)
class Settled:
    """Each recipient of a transmission has an outcome. `untouched`: the server has not replied to any of it."""

    transmission: Transmission
    outcomes: Sequence[Outcome]
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """The session is over: close the connection. `from_remote`: whether the reply came from the server."""

    reply: Reply
    from_remote: bool
    #: Whether the server refused STARTTLS. Another connection may be used without TLS.
    tls_refused: bool = False
    #: Whether a later attempt would fail in the same way.
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Goodbye:
    """QUIT was answered."""


Event = Ready | BeginTLS | LoggedIn | SendBody | Settled | Unusable | Goodbye
