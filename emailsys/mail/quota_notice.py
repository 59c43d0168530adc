"""Compose the message that tells people that their maildrop is nearly full, and what to do."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.quantities import shown_size
from emailsys.mail.trace import date_time

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


def compose(notice: NearlyFull) -> bytes:
    """The message, lines ended by CRLF. 7-bit, unless the address is not: then it is one of RFC 6532.

    RFC 3834 §5: Auto-Submitted tells programs not to answer it.
    """
    postmaster = Address("postmaster", notice.address.domain)
    share = 100 * notice.octets // notice.limit
    header = (
        f"From: Mail System <{postmaster}>",
        f"To: <{notice.address}>",
        f"Subject: Your mailbox is {share} % full",
        f"Date: {date_time(notice.made_at)}",
        f"Message-ID: <{notice.unique}@{notice.address.domain}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={'us-ascii' if notice.address.is_ascii else 'utf-8'}",
        *(() if notice.address.is_ascii else ("Content-Transfer-Encoding: 8bit",)),
    )
    paragraphs = (
        f"The mailbox of {notice.address} holds {shown_size(notice.octets)} of mail, and there is room for "
        f"{shown_size(notice.limit)}: it is {share} % full.",
        "When it is full, nothing is lost that is in it already, but new mail for you will "
        + (
            "be refused, and its senders will be told that it could not be delivered."
            if notice.refused
            else "have to wait with its senders. If there is no room for days, they will be told that it could not "
            "be delivered."
        ),
        "To make room, delete messages that you no longer need, the largest first. If your mail program fetches mail "
        "and leaves it here as well, look in its settings for how long, and tell it to remove them after some "
        "days.",
        f"If you need more room, write to {postmaster}.",
        "You will not hear of this again, unless your mailbox has been emptier and fills up once more.",
    )
    lines = "\n\n".join(_filled(paragraph) for paragraph in paragraphs).split("\n")
    return "\r\n".join((*header, "", *lines, "")).encode()


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
