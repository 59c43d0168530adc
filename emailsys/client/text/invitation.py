"""Invitations (iCalendar, RFC 5545) as text: what, when, where, and who."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any, Final

# RFC 5546 §1.4: what the sender of a calendar object asks for.
_METHODS: Final = {
    "REQUEST": "Invitation",
    "CANCEL": "Cancelled",
    "REPLY": "Answer",
    "COUNTER": "Another time is proposed",
    "DECLINECOUNTER": "The proposed time is declined",
    "REFRESH": "A new copy is requested",
    "ADD": "Further dates",
}
_ANSWERS: Final = {"ACCEPTED": "accepted", "DECLINED": "declined", "TENTATIVE": "tentative"}
# Limits of what is read and shown: characters of a calendar and of one value, events, and attendees.
_MAX_CALENDAR: Final = 200_000
_MAX_VALUE: Final = 1_000
_MAX_EVENTS: Final = 20
_MAX_ATTENDEES: Final = 20


def invitation_text(calendar: str) -> tuple[str, list[str]]:
    """Return a calendar object as text, with times in the zone of this computer, and the defects.

    Never raises. A calendar that cannot be read has no text.
    """
    if len(calendar) > _MAX_CALENDAR:
        return "", ["the invitation is too long to be read; save it"]
    from emailsys.client.text.calendar_zones import read_calendars

    try:
        found = read_calendars(calendar)
        events = [
            (one, str(outer.get("METHOD", "")).upper())
            for outer in found
            for one in outer.walk()
            if one.name in ("VEVENT", "VTODO")
        ]
        pieces = ["\n".join(_lines(*one)) for one in events[:_MAX_EVENTS]]
    except Exception as error:  # The library raises whatever a malformed value leads to.
        return "", [f"the invitation cannot be read: {str(error)[:200] or type(error).__name__}"]
    if not events:
        return "", ["the calendar has no events that can be shown; save it"]
    defects = [f"it has {len(events)} events: the first {_MAX_EVENTS} are shown"] * (len(events) > _MAX_EVENTS)
    return "\n\n".join(pieces), defects


def _lines(event: Any, method: str) -> Iterator[str]:
    yield f"{_METHODS.get(method, 'Event')}: {_value(event.get('SUMMARY')) or '(no title)'}"
    begin, end = _moment(event, "DTSTART"), _moment(event, "DTEND")
    if (
        end is None
        and begin is not None
        and isinstance(length := getattr(event.get("DURATION"), "dt", None), timedelta)
    ):
        end = begin + length
    if begin is not None:
        yield f"When: {_span(begin, end)}{_zone(event, begin)}"
    elif event.get("DTSTART") is not None:
        yield "When: the time cannot be read"
    elif (due := _moment(event, "DUE")) is not None:
        yield f"Due: {_span(due, None)}"
    if (rule := event.get("RRULE")) is not None:
        yield f"Repeats: {_value(rule.to_ical().decode())}"
    for name, label in (("LOCATION", "Where"), ("ORGANIZER", "Organiser")):
        if value := event.get(name):
            yield f"{label}: {_person(value) if name == 'ORGANIZER' else _value(value)}"
    attendees = event.get("ATTENDEE") or []
    attendees = attendees if isinstance(attendees, list) else [attendees]
    for one in attendees[:_MAX_ATTENDEES]:
        answer = _ANSWERS.get(str(one.params.get("PARTSTAT", "")).upper(), "")
        yield f"Attendee: {_person(one)}{answer and f', {answer}'}"
    if len(attendees) > _MAX_ATTENDEES:
        yield f"and {len(attendees) - _MAX_ATTENDEES} more"
    if description := str(event.get("DESCRIPTION") or "").strip():
        yield ""
        yield description


def _value(value: object) -> str:
    one = value[0] if isinstance(value, list) and value else value
    return " ".join(str(one or "").split())[:_MAX_VALUE]


def _person(value: Any) -> str:
    one = value[0] if isinstance(value, list) else value
    address = _value(str(one))
    address = address[7:] if address.lower().startswith("mailto:") else address
    name = _value(getattr(one, "params", {}).get("CN", ""))
    return f"{name} <{address}>" if name and name != address else address


def _moment(event: Any, name: str) -> date | None:
    """Return a date or a moment; a moment with a zone in the zone of this computer."""
    value = event.get(name)
    moment = None
    # The library raises for values that are malformed.
    with suppress(ValueError, AttributeError, KeyError, OverflowError):
        moment = (value[0] if isinstance(value, list) else value).dt
    if isinstance(moment, datetime):
        return moment.astimezone() if moment.tzinfo is not None else moment
    return moment if isinstance(moment, date) else None


def _zone(event: Any, begin: date) -> str:
    """Name the zone of a moment that is shown as it was written, because the zone is not known here."""
    name = _value(event["DTSTART"].params.get("TZID")) if isinstance(begin, datetime) and begin.tzinfo is None else ""
    return f" ({name})" if name else ""


def _span(begin: date, end: date | None) -> str:
    if not isinstance(begin, datetime):
        # RFC 5545 §3.6.1: the end of an event of whole days is the day after.
        last = end - timedelta(days=1) if end is not None else begin
        return f"{begin:%A, %Y-%m-%d}" + (f" to {last:%A, %Y-%m-%d}" if last > begin else "") + ", all day"
    zone = f" {begin:%Z}" if begin.tzinfo is not None else ""
    if not isinstance(end, datetime) or end.date() != begin.date():
        return (
            f"{begin:%A, %Y-%m-%d %H:%M}"
            + (f" to {end:%A, %Y-%m-%d %H:%M}" if isinstance(end, datetime) else "")
            + zone
        )
    return f"{begin:%A, %Y-%m-%d %H:%M} to {end:%H:%M}{zone}"
