"""Report on some recipients of a message: the values from which a delivery status notification is composed."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.dsn_request import OriginalRecipient
from emailsys.mail.envelope import NO_PARAMETERS, MailParameters
from emailsys.mail.reply import Reply

# RFC 3463 §2.
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
# RFC 3463 §3.5: "delivery time expired".
EXPIRED_STATUS: Final = "4.4.7"


class Action(enum.Enum):
    """What became of a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


_CLASSES: Final = {Action.FAILED: "5", Action.DELAYED: "4"}


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What is told of one recipient.

    `reply` is the last word on it and `remote` the host that said so, a name with its address behind it or an address
    literal; None where the word is ours. `expired` tells that we tried as long as we may, `in_doubt` that it may have
    arrived all the same, as the reply to the end of the message was never seen (RFC 1047). `will_retry_until` belongs
    to a delay.
    """

    forward_path: Address
    action: Action
    reply: Reply | None = None
    remote: str | None = None
    orcpt: OriginalRecipient | None = None
    expired: bool = False
    attempted_at: datetime | None = None
    will_retry_until: datetime | None = None
    in_doubt: bool = False

    @property
    def status(self) -> str:
        """The enhanced status code; it agrees with the action whatever the other side said."""
        if self.expired:
            return EXPIRED_STATUS
        return self._with_class(_CLASSES.get(self.action, "2"))

    @property
    def meant(self) -> str:
        """The code whose meaning is explained: the last word's own, also where time ran out."""
        return self._with_class(_CLASSES.get(self.action, "2"))

    def _with_class(self, first: str) -> str:
        found = self.reply.enhanced if self.reply is not None else ""
        if _ENHANCED.fullmatch(found) and (found[0] == first or self.expired):
            return found
        return f"{first}.0.0"


@dataclass(frozen=True, slots=True)
class Report:
    """All that a notification is made of.

    @ivar action: the one that all recipients have.
    @ivar reverse_path: whom it is for.
    @ivar unique: a word of letters, digits and dots that no other notification has, for Message-ID and boundary.
    @ivar original: the beginning of the message, or all of it.
    @ivar whole: whether it is all, and is to be returned; else only its header is.
    @ivar parameters: what the sender asked of the message that it is about.
    """

    hostname: str
    queue_id: str
    unique: str
    action: Action
    reverse_path: Address
    recipients: Sequence[RecipientReport]
    arrived_at: datetime
    made_at: datetime
    original: bytes = b""
    whole: bool = False
    parameters: MailParameters = NO_PARAMETERS
