"""Compose the messages that tell people that their maildrop, or their domain, is nearly full, and what to do."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.quantities import shown_size
from emailsys.mail.trace_fields import date_time

_WIDTH: Final = 76


@dataclass(frozen=True, slots=True)
class NearlyFull:
    """What is told, and to whom.

    `octets` of `limit` are in use. `refused` tells that mail over the limit is refused for good, and not put off.
    `unique` is a word of letters, digits and dots that no other message of the domain has.
    """

    address: Address
    octets: int
    limit: int
    refused: bool
    unique: str
    made_at: datetime

    @property
    def share(self) -> int:
        """Percent, rounded down."""
        return 100 * self.octets // self.limit


def compose(notice: NearlyFull) -> bytes:
    """To the owner of a maildrop."""
    outcome = _REFUSED if notice.refused else _PUT_OFF
    postmaster = _postmaster(notice)
    return _message(
        notice,
        f"Your mailbox is {notice.share} % full",
        f"The mailbox of {notice.address} holds {_figures(notice)}",
        f"When it is full, nothing is lost that is in it already, but new mail for you will {outcome}",
        "To make room, delete messages that you no longer need, the largest first. If your mail program fetches mail "
        "and leaves it here as well, look in its settings for how long, and tell it to remove them after some "
        "days.",
        f"If you need more room, write to {postmaster}.",
        "You will not hear of this again, unless your mailbox has been emptier and fills up once more.",
    )


def compose_for_domain(notice: NearlyFull) -> bytes:
    """To the postmaster of a domain, which is `notice.address`."""
    outcome = _REFUSED if notice.refused else _PUT_OFF
    domain = notice.address.domain
    return _message(
        notice,
        f"The mailboxes of {domain} are {notice.share} % full",
        f"All mailboxes of {domain} together hold {_figures(notice)}",
        f"When it is all used, nothing is lost that is in them already, but new mail for each will {outcome}",
        f"To see who keeps how much: emailsys user list {domain}",
        f"To give the domain more room: emailsys domain quota {domain} SIZE",
        "You will not hear of this again, unless the mailboxes have been emptier and fill up once more.",
    )


_REFUSED: Final = "be refused, and its senders will be told that it could not be delivered."
_PUT_OFF: Final = (
    "have to wait with its senders. If there is no room for days, they will be told that it could not be delivered."
)


def _figures(notice: NearlyFull) -> str:
    octets, limit = shown_size(notice.octets), shown_size(notice.limit)
    return f"{octets} of mail, and there is room for {limit}: {notice.share} % is used."


def _postmaster(notice: NearlyFull) -> Address:
    return Address("postmaster", notice.address.domain)


def _message(notice: NearlyFull, subject: str, *paragraphs: str) -> bytes:
    """Lines ended by CRLF. 7-bit, unless the address is not: then it is a message of RFC 6532.

    RFC 3834 §5: Auto-Submitted tells programs not to answer it.
    """
    header = (
        f"From: Mail System <{_postmaster(notice)}>",
        f"To: <{notice.address}>",
        f"Subject: {subject}",
        f"Date: {date_time(notice.made_at)}",
        f"Message-ID: <{notice.unique}@{notice.address.domain}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={'us-ascii' if notice.address.is_ascii else 'utf-8'}",
        *(() if notice.address.is_ascii else ("Content-Transfer-Encoding: 8bit",)),
    )
    lines = "\n\n".join(_filled(paragraph) for paragraph in paragraphs).split("\n")
    return "\r\n".join((*header, "", *lines, "")).encode()


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
