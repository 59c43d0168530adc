"""A message at a glance: what a line of a list has room for."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from emailsys.client.archive.values import DRAFTS, OUTBOX, SENT, Flag, Summary

#: How much of a key is shown; 40 bits tell the messages of a lifetime apart.
SHORT_KEY: Final = 8
# Characters of a name in a list.
_NAME: Final = 30
# Days after which a date needs its year.
_NEEDS_YEAR: Final = 300
# Not those of the locale: the rest of the program speaks English.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def size(octets: int) -> str:
    """Octets as people read them in a column: 999, 4.1k, 12M."""
    if octets < 1000:
        return str(octets)
    amount = float(octets)
    for unit in ("k", "M", "G"):
        amount /= 1024
        if amount < 999.5 or unit == "G":
            return f"{amount:.1f}{unit}" if amount < 9.95 else f"{amount:.0f}{unit}"
    return str(octets)


def weight(octets: int) -> str:
    """Octets in a sentence: 999 octets, 4.1 KiB, 12 MiB."""
    if octets < 1000:
        return "1 octet" if octets == 1 else f"{octets} octets"
    short = size(octets)
    return f"{short[:-1]} {short[-1].upper()}iB"


def counted(messages: int, which: str = "") -> str:
    """So many messages, in words."""
    return f"1 {which}message" if messages == 1 else f"{messages:,} {which}messages"


def when(date: datetime, now: datetime) -> str:
    """A date in the person's own time, short: the time for today, day and month within a year."""
    local = date.astimezone(now.tzinfo)
    if local.date() == now.date():
        return f"{local:%H:%M}"
    return (
        f"{local:%Y-%m-%d}" if abs((now - local).days) > _NEEDS_YEAR else f"{local.day:2d} {_MONTHS[local.month - 1]}"
    )


def letters(flags: Flag) -> str:
    """N for new, F flagged, r answered, f forwarded: as mutt has them."""
    shown = "" if flags & Flag.SEEN else "N"
    return shown + "".join(
        letter for flag, letter in ((Flag.FLAGGED, "!"), (Flag.ANSWERED, "r"), (Flag.FORWARDED, "f")) if flags & flag
    )


def correspondent(summary: Summary) -> str:
    """The other side by name: who wrote it, or to whom it goes. Not safe for a terminal."""
    if summary.place.folder in (SENT, DRAFTS, OUTBOX):
        return f"To: {_short(summary.recipients) or '-'}"
    return _short(summary.sender) or "-"


def _short(mailbox: str) -> str:
    name = mailbox.partition("<")[0].strip().strip('"')
    return (name or mailbox.strip("<> "))[:_NAME]
