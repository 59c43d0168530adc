"""Durations, sizes and times, as users type and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_SECONDS: Final = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*([kmgt]?)(i?b)?", re.ASCII)
# Each prefix is 1024 or 1000 times the previous one.
_PREFIXES: Final = ("", "k", "m", "g", "t")


class DurationType(click.ParamType[float]):
    """Parameter type: seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a duration; examples: 90s, 10m, 3h, 2d", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


DURATION = DurationType()


def octets_of(text: str) -> int:
    """Return the octets of a size. Case does not matter. K and KiB are 1024 octets, as in `du` and `ls`; kB is 1000.

    @raise Refused: the text is not a size.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise Refused(f"{text!r} is not a size; examples: 2000, 500K, 1.5M, 2GiB, 500MB", Exit.USAGE)
    prefix, of_1024 = found[2], found[3] != "b"
    from fractions import Fraction

    return int(Fraction(found[1]) * (1024 if of_1024 else 1000) ** _PREFIXES.index(prefix or ""))


def moment(text: str) -> datetime:
    """Parse a time of an answer."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def shown_time(text: str | None) -> str:
    """Format a time of an answer, in the time zone of this machine."""
    return "-" if text is None else moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shown_span(seconds: float) -> str:
    """Format a number of seconds with at most two units."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            smaller = {"d": ("h", 3600), "h": ("m", 60), "m": ("s", 1)}[unit]
            return f"{whole}{unit}" + (f" {rest // smaller[1]}{smaller[0]}" if rest // smaller[1] else "")
    return f"{int(seconds)}s"
