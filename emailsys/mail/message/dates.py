"""Dates of messages: the forms of RFC 5322, and others that programs write. Malformed input never raises."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from emailsys.mail.message.foreign_dates import in_english

# Characters of a date that are parsed.
_MAX_DATE: Final = 200
# The date of RFC 3339 §5.6, lenient: with a blank in place of the "T", and without a time.
_INTERNET: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ]+|\Z)")
# The length of a day as `format_datetime` writes it: "Fri, 02 Jan 2026".
_DAY: Final = 16
# A numeric zone with one or two digits for the hours, and perhaps with minutes and seconds.
_NUMERIC_ZONE: Final = re.compile(r"(?:\b(?:GMT|UTC|UT)[ ]?)?([+-])(\d\d?)(?::?(\d\d))?(?::\d\d)?(?!\d)", re.I)
_CLOCK: Final = re.compile(r"\b(\d\d?):(\d\d)(?::(\d\d))?(?:[.,]\d+)?(?:[ ]?([AaPp])\.?[Mm]\.?(?!\w))?")
# Zones that RFC 5322 §4.3 does not name, as programs mean them.
_ZONES: Final = {
    "WET": "+0000",
    "WEST": "+0100",
    "CET": "+0100",
    "MET": "+0100",
    "CEST": "+0200",
    "MEST": "+0200",
    "MESZ": "+0200",
    "MEZ": "+0100",
    "EET": "+0200",
    "EEST": "+0300",
    "MSK": "+0300",
    "HKT": "+0800",
    "JST": "+0900",
    "KST": "+0900",
    "AEST": "+1000",
    "AEDT": "+1100",
    "NZST": "+1200",
    "NZDT": "+1300",
}
_ZONE: Final = re.compile(rf"(?<=[\d ])(?:{'|'.join(sorted(_ZONES, key=len, reverse=True))})\b", re.I)
# What the parser of the standard library rejects, or reads in another way than it is meant.
_ODD: Final = re.compile(
    rf"[+-]\d\d?(?!\d)|:60\b|\b24:\d|\d ?[ap]\.?m\b|(?:GMT|UTC?) ?[+-]|^\d{{4}}-|{_ZONE.pattern}", re.I
)
# RFC 5322 §3.3, and the names of zones and the blanks of its obsolete form (§4.3).
_WELL_FORMED: Final = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\s*+,)?\s*+\d\d?\s++"
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s++\d{4}\s++(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?\s++"
    r"(?:[+-]\d{4}|UTC?|GMT|[ECMP][SD]T|Z)\s*+",
    re.I,
)
# The form that nearly all programs write. It is read in a fifth of the time.
_USUAL: Final = re.compile(
    r"(?:[A-Za-z]{3}, )?(\d\d?) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([12]\d{3}) "
    r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d) ([+-])([01]\d)([0-5]\d)(?: \([A-Z]{1,5}\))?",
    re.ASCII,
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COMMENT: Final = re.compile(r"\([^()]*\)")


def parse_date(text: str) -> datetime | None:
    """Parse a date-time to UTC: RFC 5322 §3.3, its obsolete forms, RFC 3339, and near misses of both.

    These are a zone such as +05:30 or CEST, the second 60, the hour 24, "AM" or "PM", and days in other languages. None
    if it is malformed or out of range.
    """
    text = text[:_MAX_DATE].strip()
    for read in _readers(text):
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        if moment is not None:
            return moment
    return None


def date_defect(text: str) -> str:
    """Return what is wrong with a date that `parse_date` reads all the same, or cannot read; "" if nothing is."""
    text = text[:_MAX_DATE].strip()
    moment = parse_date(text)
    if moment is None:
        return f"{text[:100]!r} cannot be read: the list has the time of receipt"
    if moment < _FIRST:
        return f"{text[:100]!r} is before 1970: the list has the time of receipt"
    if _WELL_FORMED.fullmatch(_COMMENT.sub(" ", text)) is not None:
        return ""
    return f"{text[:100]!r} is not a well-formed date, and is read as {moment:%Y-%m-%d %H:%M:%S} UTC"


def _readers(text: str) -> Iterator[Callable[[str], datetime | None]]:
    yield _usual
    yield from (_lenient, _strict) if _ODD.search(text) else (_strict, _lenient)
    yield _foreign


def _usual(text: str) -> datetime | None:
    found = _USUAL.fullmatch(text)
    if found is None:
        return None
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    moment = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    zone = timedelta(hours=int(hours), minutes=int(minutes))
    return moment + zone if sign == "-" else moment - zone


def _strict(text: str) -> datetime:
    # -0000 means that the zone is unknown. UTC is then the best choice.
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _lenient(text: str) -> datetime | None:
    text = _COMMENT.sub(" ", text).strip()
    if (found := _INTERNET.match(text)) is not None:
        text = f"{format_datetime(datetime.fromisoformat(found[1]))[:_DAY]} {text[found.end() :]}"
    clock = _CLOCK.search(text)
    if clock is None:
        return _strict(f"{text[:_DAY]} 00:00:00") if found is not None else None
    zone = _ZONE.sub(lambda one: _ZONES[one[0].upper()], text[clock.end() :])
    zone = _NUMERIC_ZONE.sub(lambda one: f" {one[1]}{one[2]:0>2}{one[3] or '00'}", f" {zone}")
    midnight = _strict(f"{text[: clock.start()]}00:00:00{zone}")
    return midnight + _since_midnight(clock[1], clock[2], clock[3], (clock[4] or "").lower())


def _foreign(text: str) -> datetime | None:
    english = in_english(_COMMENT.sub(" ", text))
    return None if english is None else _lenient(english)


def _since_midnight(hour: str | None, minute: str | None, second: str | None, half: str) -> timedelta:
    """Return a time of day. The second 60 is a leap second, and 24:00 is the end of the day.

    @raise ValueError: there is no such time.
    """
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    if half:
        hours = hours % 12 + 12 * (half == "p")
    if minutes > 59 or seconds > 60 or hours > 24 or (hours == 24 and (minutes or seconds)):
        raise ValueError("no time of day")
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
