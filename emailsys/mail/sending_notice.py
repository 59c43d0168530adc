"""Notices about sending limits: messages that warn of a limit that is near, or say that mail is held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from emailsys.mail.address import Address
from emailsys.mail.own_message import own_message


@dataclass(frozen=True, slots=True)
class SendingNotice:
    """The contents of a notice.

    @ivar sender: the account, network or alias, as text.
    @ivar limit: the limit in words, such as "500 recipients an hour".
    @ivar used: how much of it is used.
    @ivar is_held: whether mail is held already.
    @ivar unique: letters, digits and dots that no other message of the domain has.
    """

    sender: str
    limit: str
    used: int
    is_held: bool
    unique: str
    made_at: datetime


def compose_for_owner(notice: SendingNotice, owner: Address) -> bytes:
    """Compose the notice to the owner of an account."""
    postmaster = Address("postmaster", owner.domain)
    return own_message(
        owner,
        postmaster,
        _subject(notice),
        notice.unique,
        notice.made_at,
        _figures(notice),
        _consequence(notice),
        f"If you did not send this mail, another person knows your password. Change it at once, and tell {postmaster}.",
        f"If you need to send more, write to {postmaster}.",
    )


def compose_for_postmaster(notice: SendingNotice, postmaster: Address) -> bytes:
    """Compose the notice to the postmaster, who can release the mail."""
    return own_message(
        postmaster,
        postmaster,
        _subject(notice),
        notice.unique,
        notice.made_at,
        _figures(notice),
        _consequence(notice),
        "To list the mail that is held: emailsys queue list --status held",
        "To send it: emailsys queue release QUEUE_ID",
        "To discard it: emailsys queue drop QUEUE_ID",
        "To change the limits: [sending] in the configuration file. Names under `unlimited` there have no limit.",
    )


def _subject(notice: SendingNotice) -> str:
    return "Outgoing mail is held" if notice.is_held else "A limit for outgoing mail is near"


def _figures(notice: SendingNotice) -> str:
    if notice.is_held:
        return f"{notice.sender} has reached the limit for mail to other systems: {notice.limit}."
    return f"{notice.sender} has sent mail to other systems near its limit: {notice.used} of {notice.limit}."


def _consequence(notice: SendingNotice) -> str:
    if notice.is_held:
        return "Mail beyond the limit is kept, but it waits until the postmaster releases it."
    return "Mail beyond the limit will be kept, but it will wait until the postmaster releases it."
