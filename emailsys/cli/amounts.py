"""Durations, sizes and times as people type and read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, Final

import click

from emailsys.operations import WARN_AT

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_SECONDS: Final = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?")
_OCTETS: Final = {
    None: 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


class DurationType(click.ParamType[float]):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration; such are 90s, 10m, 3h, 2d", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


class SizeType(click.ParamType[int]):
    """Octets, or a number with a unit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Octets."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size; such are 500MB, 2GiB", param, ctx)
        return int(found[1]) * _OCTETS[found[2]]


DURATION = DurationType()
SIZE = SizeType()


def quota_octets(text: str) -> int | None:
    """The octets of a quota: 0 for `none`, None for `default`."""
    if text == "default":
        return None
    return 0 if text == "none" else SIZE.convert(text, None, None)


def shown_share(used: float | None) -> str | None:
    """How full a maildrop or domain is, with a word where that needs attention."""
    if used is None:
        return None
    word = " full" if used >= 1 else " nearly full" if used >= WARN_AT else ""
    # Down, so that 99.9 % do not look full.
    return f"{math.floor(used * 100)} %{word}"


def moment(text: str) -> datetime:
    """The time of an answer."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def shown_time(text: str | None) -> str:
    """The time of an answer, in this machine's zone."""
    return "-" if text is None else moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shown_span(seconds: float) -> str:
    """Roughly how long."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            smaller = {"d": ("h", 3600), "h": ("m", 60), "m": ("s", 1)}[unit]
            return f"{whole}{unit}" + (f" {rest // smaller[1]}{smaller[0]}" if rest // smaller[1] else "")
    return f"{int(seconds)}s"
