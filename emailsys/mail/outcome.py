"""How an attempt to deliver ended for one recipient: transient or permanent is decided once, here it is kept."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from emailsys.mail.reply import Reply


class Result(enum.Enum):
    """What became of a recipient in one attempt."""

    RELAYED = "relayed"
    DELAYED = "delayed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt did for one recipient.

    `reply` is the remote's last word on the recipient, or one of ours where no remote spoke; `remote` is the name of
    the host that gave it, None for ours. `dsn_passed` tells that the next hop took over the request for notifications
    (RFC 3461 §5.2.1). `unreachable` tells that no host of the next hop could be talked to at all, so that other mail
    for it need not try now. `in_doubt` tells that the reply to the final dot was never seen: the next attempt may
    double the message (RFC 1047).
    """

    result: Result
    reply: Reply
    remote: str | None = None
    dsn_passed: bool = False
    unreachable: bool = False
    in_doubt: bool = False
