"""Report: the facts about the recipients of a message from which a delivery status notification is composed."""

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
    """The result for a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


_CLASSES: Final = {Action.FAILED: "5", Action.DELAYED: "4"}


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """The report on one recipient.

    @ivar reply: the last reply for the recipient.
    @ivar remote: the host that sent the reply: a name followed by its address, or an address literal. None if the reply
        is our own.
    @ivar expired: whether delivery was tried for as long as the configuration allows.
    @ivar in_doubt: whether the message may have arrived, because the reply to its end was never received (RFC 1047).
    @ivar will_retry_until: when delivery attempts end; only for a delay.
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
    #: Whether the fault lies with a host that a route of this system names, and not with the recipient's system.
    route_at_fault: bool = False
    #: Whether the domain has only private addresses.
    no_public_address: bool = False

    @property
    def status(self) -> str:
        """The enhanced status code. Its class agrees with the action, whatever class the remote host sent."""
        if self.expired:
            return EXPIRED_STATUS
        return self._with_class(_CLASSES.get(self.action, "2"))

    @property
    def explained_status(self) -> str:
        """The status code to explain to the sender: that of the last reply, even if the delivery time expired."""
        return self._with_class(_CLASSES.get(self.action, "2"))

    def _with_class(self, first: str) -> str:
        found = self.reply.enhanced if self.reply is not None else ""
        if _ENHANCED.fullmatch(found) and (found[0] == first or self.expired):
            return found
        return f"{first}.0.0"


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a notification.

    @ivar action: the action that all recipients have in common.
    @ivar reverse_path: the address that receives the notification.
    @ivar unique: letters, digits and dots that no other notification has, for Message-ID and boundary.
    @ivar original: the beginning of the original message, or all of it.
    @ivar whole: whether `original` is complete and is returned; otherwise only its header is returned.
    @ivar parameters: what the sender requested for the original message.
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


def reports_by_action(
    recipients: Sequence[RecipientReport],
    *,
    hostname: str,
    queue_id: str,
    unique: str,
    reverse_path: Address,
    arrived_at: datetime,
    made_at: datetime,
    parameters: MailParameters,
    original: bytes,
    is_complete: bool = False,
) -> list[Report]:
    """Return a report for each action among the recipients of one message, in the order of `Action`.

    RFC 3461 §4.3: RET says what a failure returns; other reports return the header only.

    @param unique: letters, digits and dots; the action is added.
    @param is_complete: whether `original` is the complete message, and is returned with failures.
    """
    chosen = {action: [report for report in recipients if report.action is action] for action in Action}
    return [
        Report(
            hostname=hostname,
            queue_id=queue_id,
            unique=f"{unique}.{action.value}",
            action=action,
            reverse_path=reverse_path,
            recipients=reports,
            arrived_at=arrived_at,
            made_at=made_at,
            original=original,
            whole=is_complete and action is Action.FAILED,
            parameters=parameters,
        )
        for action, reports in chosen.items()
        if reports
    ]
