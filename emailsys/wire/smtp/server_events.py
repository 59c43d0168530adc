"""Events of the server side of an SMTP session."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from emailsys.mail.reply import Reply


class Command(NamedTuple):
    """A command that is in order: the verb in upper case, and its parsed arguments."""

    verb: str
    argument: Any


class Answer(NamedTuple):
    """A reply that the session itself decided."""

    reply: Reply


class Drop(NamedTuple):
    """A reply after which the connection is closed: the peer does not speak SMTP, or sent too many bad commands."""

    reply: Reply


class End(enum.Enum):
    """The unit that ends with a piece of a message: nothing, a chunk, or the message."""

    NOTHING = enum.auto()
    CHUNK = enum.auto()
    MESSAGE = enum.auto()


class Body(NamedTuple):
    """A piece of the message.

    If there is a refusal, discard the message; its end still follows. An empty piece shows that the client is still
    sending a message that is discarded.
    """

    octets: bytes
    end: End
    refusal: Reply | None = None


Event = Command | Answer | Drop | Body
