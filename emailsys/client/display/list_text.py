"""Text of a message list: sizes, dates, flags and correspondents in the width of a column."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from emailsys.client.archive.values import DRAFTS, OUTBOX, SENT, Flag, Summary

#: Characters of a key that are shown: 40 bits, which are enough to distinguish the messages of a lifetime.
SHORT_KEY: Final = 8
#: The mark of a sender of one's own system that nobody verified: the client did not log in.
UNVERIFIED: Final = "(?) "
# Levels of a tree that are indented.
_DEEPEST: Final = 8
# Characters of a name in a list.
_NAME: Final = 30
# Days after which a date is shown with its year.
_NEEDS_YEAR: Final = 300
# English in every locale, as the rest of the program.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def size(octets: int) -> str:
    """Format octets for a column: 999, 4.1k, 12M."""
    if octets < 1000:
        return str(octets)
    amount = float(octets)
    for unit in ("k", "M", "G"):
        amount /= 1024
        if amount < 999.5 or unit == "G":
            return f"{amount:.1f}{unit}" if amount < 9.95 else f"{amount:.0f}{unit}"
    return str(octets)


def size_text(octets: int) -> str:
    """Format octets for a sentence: 999 octets, 4.1 KiB, 12 MiB."""
    if octets < 1000:
        return "1 octet" if octets == 1 else f"{octets} octets"
    short = size(octets)
    return f"{short[:-1]} {short[-1].upper()}iB"


def message_count(messages: int, which: str = "") -> str:
    """Format a number of messages: "1 message", "1,200 new messages"."""
    return f"1 {which}message" if messages == 1 else f"{messages:,} {which}messages"


def short_date(date: datetime, now: datetime, is_narrow: bool = False) -> str:
    """Format a date in the time zone of `now`: the time if today, day and month within 300 days, or the full date.

    @param is_narrow: write the year in place of the full date, so that six characters are enough.
    """
    local = date.astimezone(now.tzinfo)
    if local.date() == now.date():
        return f"{local:%H:%M}"
    if abs((now - local).days) > _NEEDS_YEAR:
        return f"{local:%Y}" if is_narrow else f"{local:%Y-%m-%d}"
    return f"{local.day:2d} {_MONTHS[local.month - 1]}"


def flag_letters(flags: Flag) -> str:
    """Format flags as letters: N unread, ! flagged, r answered, f forwarded."""
    shown = "" if flags & Flag.SEEN else "N"
    return shown + "".join(
        letter for flag, letter in ((Flag.FLAGGED, "!"), (Flag.ANSWERED, "r"), (Flag.FORWARDED, "f")) if flags & flag
    )


def tree_prefix(depth: int) -> str:
    """Return the text before the subject of a message in a tree. Deeper answers are not indented further."""
    return f"{'  ' * min(depth - 1, _DEEPEST)}└ " if depth else ""


def correspondent(summary: Summary) -> str:
    """Return the sender's name, or the recipient's for Sent, Drafts and the outbox. Not safe for a terminal.

    UNVERIFIED before a sender: anybody may have written the message.
    """
    if summary.folder.name in (SENT, DRAFTS, OUTBOX):
        return f"To: {_short(summary.recipients) or '-'}"
    return (UNVERIFIED if summary.unverified else "") + (_short(summary.sender) or "-")


def _short(mailbox: str) -> str:
    name = mailbox.partition("<")[0].strip().strip('"') or mailbox.strip("<> ")
    # The sign is needed: an address that is cut may look like that of somebody else.
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
