"""Dates with names of months in other languages, or with numbers alone, as some programs write them in Date."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_ENGLISH: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# How the names of each month begin in German, French, Spanish, Portuguese, Italian, Dutch, the Scandinavian languages,
# Polish and Russian.
_BEGINNINGS: Final = (
    ("jan", "ene", "gen", "sty", "янв"),
    ("feb", "fév", "fev", "lut", "фев"),
    ("mar", "mär", "mrz", "maa", "mrt", "мар"),
    ("apr", "avr", "abr", "kwi", "апр"),
    ("mai", "may", "mei", "mag", "maj", "май", "мая"),
    ("jun", "juin", "giu", "cze", "июн"),
    ("jul", "juil", "lug", "lip", "июл"),
    ("aug", "aoû", "aou", "ago", "sie", "авг"),
    ("sep", "set", "wrz", "сен"),
    ("oct", "okt", "ott", "out", "paź", "окт"),
    ("nov", "lis", "ноя"),
    ("dec", "dez", "déc", "dic", "des", "gru", "дек"),
)
_MONTHS: Final = {begin: number for number, names in enumerate(_BEGINNINGS, 1) for begin in names}
_WORD: Final = re.compile(r"[^\W\d_]+")
_NUMBER: Final = re.compile(r"\d+")
_TIME: Final = re.compile(r"\b\d\d?:\d\d")
# Only orders that mean one day: 01/05/2026 is in January or in May.
_DAY_FIRST: Final = re.compile(r"(?P<day>\d\d?)\. ?(?P<month>\d\d?)\. ?(?P<year>\d{4})")
_YEAR_FIRST: Final = re.compile(r"(?P<year>\d{4})[/.年년] ?(?P<month>\d\d?)[/.月월] ?(?P<day>\d\d?)")


def in_english(text: str) -> str | None:
    """Return a date-time with its day in the form of RFC 5322 §3.3; None if it is not understood."""
    text = unicodedata.normalize("NFC", text)
    time = _TIME.search(text)
    if time is None:
        return None
    day = _day(text[: time.start()])
    return None if day is None else f"{day} {text[time.start() :]}"


def _day(text: str) -> str | None:
    if (found := _DAY_FIRST.search(text) or _YEAR_FIRST.search(text)) is not None:
        number = int(found["month"])
        return f"{found['day']} {_ENGLISH[number - 1]} {found['year']}" if 1 <= number <= 12 else None
    numbers = sorted(_NUMBER.findall(text), key=len)
    # The day of the week comes before the month: "mar." is Tuesday in French, and March.
    months = [month for word in _WORD.findall(text.casefold()) if (month := _month(word)) is not None]
    if len(numbers) != 2 or len(numbers[0]) > 2 or len(numbers[1]) != 4 or not months:
        return None
    return f"{numbers[0]} {_ENGLISH[months[-1] - 1]} {numbers[1]}"


def _month(word: str) -> int | None:
    return _MONTHS.get(word[:3], _MONTHS.get(word[:4]))
