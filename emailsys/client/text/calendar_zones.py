"""Time zones that a calendar defines for itself (RFC 5545 §3.6.5): checked, and used for this calendar only."""

from __future__ import annotations

import warnings
from datetime import date, tzinfo
from threading import Lock
from typing import Any, Final

from icalendar import Calendar
from icalendar.timezone import tzp
from icalendar.timezone.zoneinfo import ZONEINFO

# Limit of the rules of all zones of one calendar. A rule is expanded up to the time of the event, so
# that its beginning and its dates in one year decide how long that takes. Outlook lets its zones begin in 1601.
_MAX_RULES: Final = 20
_FIRST_YEAR: Final = 1600
_MAX_DAYS: Final = 7
_RULE_PARTS: Final = frozenset({"FREQ", "BYMONTH", "BYMONTHDAY", "BYDAY", "UNTIL", "WKST"})
# The library has one table of zones for all calendars of the process.
_TABLE: Final = Lock()
# It warns on stderr about a zone with the prefix of a vendor, which it reads as meant.
warnings.filterwarnings("ignore", module=r"icalendar\.")


def read_calendars(text: str) -> list[Any]:
    """Return the calendar objects of a text.

    @raise Exception: whatever the library raises for a text that is malformed.
    """
    with _TABLE:
        tzp.use(_Zones())
        try:
            return list(Calendar.from_ical(text, multiple=True))
        finally:
            tzp.use_default()


class _Zones(ZONEINFO):
    """The zones of the system, and those that one calendar defines if their rules are simple."""

    _rules_left = _MAX_RULES

    def timezone(self, name: str) -> tzinfo | None:
        try:
            return super().timezone(name)
        except OSError:
            # The name is too long for a file, or names a folder.
            return None

    def create_timezone(self, tz: Any) -> Any:  # type: ignore[override]
        """Return a zone that the calendar defines. None: the zone is unknown, and its times are shown as written."""
        self._rules_left -= len(tz.subcomponents)
        if self._rules_left < 0:
            return None
        try:
            return super().create_timezone(tz) if _is_simple(tz) else None
        except Exception:  # The library raises whatever a malformed zone leads to.
            return None


def _is_simple(zone: Any) -> bool:
    rules = zone.subcomponents
    return all(
        one.name in ("STANDARD", "DAYLIGHT") and not one.subcomponents and "EXRULE" not in one and _is_yearly(one)
        for one in rules
    )


def _is_yearly(observance: Any) -> bool:
    """Whether an observance begins at most seven times in a year."""
    rule = observance.get("RRULE")
    if rule is None:
        return True
    begin = getattr(observance.get("DTSTART"), "dt", None)
    if isinstance(rule, list) or not isinstance(begin, date) or begin.year < _FIRST_YEAR:
        return False
    parts = {name: list(value) if isinstance(value, list) else [value] for name, value in rule.items()}
    days = len(parts.get("BYMONTHDAY", ())), len(parts.get("BYDAY", ()))
    return (
        _RULE_PARTS.issuperset(parts)
        and parts.get("FREQ") == ["YEARLY"]
        and len(parts.get("BYMONTH", ())) in ((1,) if any(days) else (0, 1))
        and days[0] <= _MAX_DAYS
        and days[1] <= 1
    )
