"""Moments as people type them: a time of day, a weekday, a date, or a span from now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Final

from emailsys.client.compose.draft import ComposeError

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPANS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(r"\+?(\d{1,5})([mhdw])", re.ASCII)
_TIME: Final = re.compile(r"(\d{1,2})[:.](\d{2})", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# RFC 3339 §5.6, with or without an offset.
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}t.{1,30}", re.ASCII)
#: The hour that is meant where only a day is named.
MORNING: Final = time(8)
#: How a moment can be written, for help texts and errors.
EXAMPLES: Final = "+2h, +3d, 18:30, tomorrow, monday 9:00, 2027-03-01, 2027-03-01 18:30"


class BadMoment(ComposeError):
    """A text names no moment, or a moment that has passed. The message can be shown to the user."""


def parse_moment(text: str, now: datetime) -> datetime:
    """Parse a moment in the future, in the time zone of this machine.

    A time of day alone is the next such time, a weekday alone the next such day at 8:00. The plus sign of a span may be
    left out. Spans of days and weeks keep the time of day when summer time begins or ends.

    @param now: the current moment, with time zone.
    @raise BadMoment: the text is no moment, or the moment has passed.
    """
    words = text.lower().replace(",", " ").split()
    span = _SPAN.fullmatch(words[0]) if len(words) == 1 else None
    try:
        if span is None:
            found = _absolute(text, words, now)
        elif span[2] in "mh":
            found = (now + timedelta(seconds=int(span[1]) * _SPANS[span[2]])).astimezone()
        else:
            found = (_wall_clock(now) + timedelta(seconds=int(span[1]) * _SPANS[span[2]])).astimezone()
    except BadMoment:
        raise
    except (ValueError, OverflowError, OSError):
        # Beyond the calendar of Python or of the system.
        raise _unknown(text) from None
    if found <= now:
        raise BadMoment(f"{text!r} has passed. It is {_wall_clock(now):%Y-%m-%d %H:%M} now.")
    return found


def _wall_clock(moment: datetime) -> datetime:
    """Return what a clock on the wall shows: the local time, without time zone."""
    return moment.astimezone().replace(tzinfo=None)


def _absolute(text: str, words: Sequence[str], now: datetime) -> datetime:
    wall = _wall_clock(now)
    match words:
        case [word] if _ISO.fullmatch(word):
            return _iso(text, word.upper()).astimezone()
        case [day, at]:
            return _on(text, day, _time(text, at), wall).astimezone()
        case [word] if _TIME.fullmatch(word):
            today = datetime.combine(wall, _time(text, word))
            return (today if today > wall else today + timedelta(days=1)).astimezone()
        case [day]:
            return _on(text, day, MORNING, wall).astimezone()
    raise _unknown(text)


def _iso(text: str, word: str) -> datetime:
    try:
        return datetime.fromisoformat(word)
    except ValueError:
        raise _unknown(text) from None


def _on(text: str, day: str, at: time, wall: datetime) -> datetime:
    if day in ("today", "tomorrow"):
        return datetime.combine(wall + timedelta(days=day == "tomorrow"), at)
    weekday = next((number for number, name in enumerate(_DAYS) if len(day) > 2 and name.startswith(day)), None)
    if weekday is not None:
        found = datetime.combine(wall + timedelta(days=(weekday - wall.weekday()) % 7), at)
        return found if found > wall else found + timedelta(days=7)
    if _DATE.fullmatch(day):
        return datetime.combine(_iso(text, day), at)
    raise _unknown(text)


def _time(text: str, word: str) -> time:
    found = _TIME.fullmatch(word)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise _unknown(text)
    return time(int(found[1]), int(found[2]))


def _unknown(text: str) -> BadMoment:
    return BadMoment(f"{text!r} is not a time. Examples: {EXAMPLES}")
