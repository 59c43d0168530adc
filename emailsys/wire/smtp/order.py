"""Order of SMTP commands: which are refused at which stage, and which are not implemented (RFC 5321 §4.1.4)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply


class Stage(enum.IntEnum):
    """How far the client has progressed. An integer, because each command looks its stage up in a dictionary."""

    CONNECTED = enum.auto()
    GREETED = enum.auto()
    #: MAIL was accepted, no recipient yet.
    MAIL = enum.auto()
    #: At least one recipient was accepted.
    RCPT = enum.auto()
    #: The message has begun with BDAT.
    CHUNKS = enum.auto()


# The stages at which a command is out of order (RFC 5321 §4.1.4, RFC 3030 §2, RFC 3207 §4, RFC 4954 §4).
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
    # Not of a standard: a user changes the own password. RFC 5321 §4.1.5 leaves verbs that begin with X to agreement.
    "XPASSWORD": {Stage.CONNECTED: replies.HELLO_FIRST, **_WITHIN},
    "EHLO": {},
    "HELO": {},
    "RSET": {},
    "NOOP": {},
    "VRFY": {},
    "HELP": {},
    "QUIT": {},
}
# Standard commands that are not implemented. Their reply differs from that to an unknown command (RFC 5321 §4.2.4).
NOT_IMPLEMENTED: Final = frozenset({"EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL"})
# Commands that are out of order mostly because they were pipelined after a refused MAIL, one for each recipient.
PIPELINED: Final = frozenset({"RCPT", "DATA", "BDAT"})
# Commands that may come any number of times without any effect.
IDLE_COMMANDS: Final = frozenset({"EHLO", "HELO", "HELP", "NOOP", "RSET", "VRFY"})
NO_ARGUMENT: Final = frozenset({"DATA", "RSET", "QUIT", "STARTTLS"})
