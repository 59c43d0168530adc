"""The order of SMTP commands: which is refused at which stage, and which are none of ours (RFC 5321 §4.1.4)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply


class Stage(enum.Enum):
    """How far the client has come."""

    CONNECTED = enum.auto()
    GREETED = enum.auto()
    #: MAIL was taken, no recipient yet.
    MAIL = enum.auto()
    #: At least one recipient was taken.
    RCPT = enum.auto()
    #: The message has begun with BDAT.
    CHUNKS = enum.auto()


# Which command is out of order at which stage (RFC 5321 §4.1.4, RFC 3030 §2, RFC 3207 §4, RFC 4954 §4).
_TWICE: Final = dict.fromkeys((Stage.MAIL, Stage.RCPT, Stage.CHUNKS), replies.MAIL_TWICE)
_WITHIN: Final = dict.fromkeys((Stage.MAIL, Stage.RCPT, Stage.CHUNKS), replies.IN_TRANSACTION)
_BEFORE_MAIL: Final = {Stage.CONNECTED: replies.HELLO_FIRST, Stage.GREETED: replies.MAIL_FIRST}
OUT_OF_ORDER: Final[Mapping[str, Mapping[Stage, Reply]]] = {
    "MAIL": {Stage.CONNECTED: replies.HELLO_FIRST, **_TWICE},
    "RCPT": {**_BEFORE_MAIL, Stage.CHUNKS: replies.NOT_IN_CHUNKS},
    "DATA": {**_BEFORE_MAIL, Stage.MAIL: replies.NO_RECIPIENTS, Stage.CHUNKS: replies.NOT_IN_CHUNKS},
    "BDAT": {**_BEFORE_MAIL, Stage.MAIL: replies.NO_RECIPIENTS},
    "STARTTLS": {Stage.CONNECTED: replies.HELLO_FIRST},
    "AUTH": {Stage.CONNECTED: replies.AUTH_NEEDS_EHLO, **_WITHIN},
    "EHLO": {},
    "HELO": {},
    "RSET": {},
    "NOOP": {},
    "VRFY": {},
    "HELP": {},
    "QUIT": {},
}
# Commands of standards that we do not implement, to tell them from nonsense (RFC 5321 §4.2.4).
NOT_IMPLEMENTED: Final = frozenset({"EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL"})
# A browser that was made to POST to this port: what follows would be read as commands.
WEB_METHODS: Final = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE"})
# Out of order they are most often pipelined behind a MAIL that was refused: as many as the message has recipients.
PIPELINED: Final = frozenset({"RCPT", "DATA", "BDAT"})
NO_ARGUMENT: Final = frozenset({"DATA", "RSET", "QUIT", "STARTTLS"})
