"""Quota notices: messages that warn of a nearly full mailbox or domain and say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.own_message import own_message
from emailsys.mail.quantities import shown_size


@dataclass(frozen=True, slots=True)
class NearlyFull:
    """The contents of a quota notice.

    @ivar address: the mailbox, or the domain as an address without local part.
    @ivar octets: octets in use, of `limit`.
    @ivar refused: whether mail over the limit is rejected permanently; otherwise its sender retries.
    @ivar unique: letters, digits and dots that no other message of the domain has.
    """

    address: Address
    octets: int
    limit: int
    refused: bool
    unique: str
    made_at: datetime

    @property
    def share(self) -> int:
        """The share in use in percent, rounded down."""
        return 100 * self.octets // self.limit


def compose(notice: NearlyFull) -> bytes:
    """Compose the notice to the owner of a mailbox."""
    outcome = _REFUSED if notice.refused else _DELAYED
    postmaster = _postmaster(notice)
    return _message(
        notice,
        f"Your mailbox is {notice.share} % full",
        f"The mailbox of {notice.address} holds {_figures(notice)}",
        f"When it is full, the mail in it stays, but {outcome}",
        "To make room, delete messages that you no longer need, the largest first. If your mail program leaves copies "
        "of fetched mail on the server, change its settings so that it deletes them after some days.",
        f"If you need more room, write to {postmaster}.",
        "You will not receive this warning again, unless you make room and your mailbox fills up again.",
    )


def compose_for_domain(notice: NearlyFull) -> bytes:
    """Compose the notice to the postmaster of the domain `notice.address`."""
    outcome = _REFUSED if notice.refused else _DELAYED
    domain = notice.address.domain
    return _message(
        notice,
        f"The mailboxes of {domain} are {notice.share} % full",
        f"All mailboxes of {domain} together hold {_figures(notice)}",
        f"When they are full, the mail in them stays, but {outcome}",
        f"To list the usage of each mailbox: emailsys user list {domain}",
        f"To give the domain more room: emailsys domain quota {domain} SIZE",
        "You will not receive this warning again, unless room is made and the mailboxes fill up again.",
    )


_REFUSED: Final = "new mail is rejected, and its senders are told that it could not be delivered."
_DELAYED: Final = (
    "new mail waits at its senders' mail systems. If there is no room for days, the senders are told that it could not "
    "be delivered."
)


def _figures(notice: NearlyFull) -> str:
    octets, limit = shown_size(notice.octets), shown_size(notice.limit)
    return f"{octets} of mail out of {limit}: {notice.share} % is used."


def _postmaster(notice: NearlyFull) -> Address:
    return Address("postmaster", notice.address.domain)


def _message(notice: NearlyFull, subject: str, *paragraphs: str) -> bytes:
    return own_message(notice.address, _postmaster(notice), subject, notice.unique, notice.made_at, *paragraphs)
