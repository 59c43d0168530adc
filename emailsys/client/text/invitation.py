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
_MAX_ERRORS: Final = 10
_MAX_REASON: Final = 200
# RFC 5545 §3.6.1: properties that an event has at most once, of those that are shown.
_SINGLE: Final = ("SUMMARY", "DTSTART", "DTEND", "DURATION", "DUE", "RRULE", "LOCATION", "ORGANIZER", "DESCRIPTION")


def invitation_text(calendar: str) -> tuple[str, list[str]]:
    """Return a calendar object as text, with times in the zone of this computer, and the defects.

    Never raises. A calendar that cannot be read has no text.
    """
    if len(calendar) > _MAX_CALENDAR:
        return "", ["the invitation is too long to be read; save it"]
    from emailsys.client.text.calendar_zones import read_calendars

    try:
        found = read_calendars(calendar)
    except Exception as error:  # The library raises whatever a malformed line leads to.
        return "", [f"the invitation cannot be read: {str(error)[:_MAX_REASON] or type(error).__name__}"]
    events = [
        (one, str(_first(outer, "METHOD") or "").upper())
        for outer in found
        for one in outer.walk()
        if one.name in ("VEVENT", "VTODO")
    ]
    if not events:
        return "", ["the calendar has no events that can be shown; save it"]
    pieces: list[str] = []
    defects = [f"it has {len(events)} events: the first {_MAX_EVENTS} are shown"] * (len(events) > _MAX_EVENTS)
    for event, method in events[:_MAX_EVENTS]:
        defects += _defects(event)
        try:
            pieces.append("\n".join(_lines(event, method)))
        except Exception as error:  # As above: a malformed value.
            defects.append(f"an event cannot be read: {str(error)[:_MAX_REASON] or type(error).__name__}")
    return "\n\n".join(pieces), defects


def _first(component: Any, name: str) -> Any:
    """Return a property, the first one if it is there several times, or None."""
    value = component.get(name)
    return value[0] if isinstance(value, list) and value else value


def _defects(event: Any) -> Iterator[str]:
    for name, reason in event.errors[:_MAX_ERRORS]:
        yield f"{name or 'a line'} of the invitation cannot be read: {str(reason)[:_MAX_REASON]}"
    for name in _SINGLE:
        if isinstance(event.get(name), list):
            yield f"{name} is there more than once in the invitation: the first is shown"


def _lines(event: Any, method: str) -> Iterator[str]:
    update = "Update of an " if method == "REQUEST" and _is_update(event) else ""
    kind = _METHODS.get(method, "Event")
    yield f"{update}{kind.lower() if update else kind}: {_value(_first(event, 'SUMMARY')) or '(no title)'}"
    begin, end = _moment(event, "DTSTART"), _end(event)
    if begin is not None:
        yield f"When: {_span(begin, end)}{_zone(event, begin)}"
    elif event.get("DTSTART") is not None:
        yield "When: the time cannot be read"
    elif (due := _moment(event, "DUE")) is not None:
        yield f"Due: {_span(due, None)}"
    if (rule := _first(event, "RRULE")) is not None:
        yield f"Repeats: {_value(rule.to_ical().decode())}"
    for name, label in (("LOCATION", "Where"), ("ORGANIZER", "Organiser")):
        if value := _first(event, name):
            yield f"{label}: {_person(value) if name == 'ORGANIZER' else _value(value)}"
    attendees = event.get("ATTENDEE") or []
    attendees = attendees if isinstance(attendees, list) else [attendees]
    for one in attendees[:_MAX_ATTENDEES]:
        answer = _ANSWERS.get(str(one.params.get("PARTSTAT", "")).upper(), "")
        yield f"Attendee: {_person(one)}{answer and f', {answer}'}"
    if len(attendees) > _MAX_ATTENDEES:
        yield f"and {len(attendees) - _MAX_ATTENDEES} more"
    if description := str(_first(event, "DESCRIPTION") or "").strip():
        yield ""
        yield description


def _is_update(event: Any) -> bool:
    """Whether the organiser has revised the event since its first invitation (RFC 5546 §2.1.4)."""
    try:
        return int(_first(event, "SEQUENCE") or 0) > 0
    except (TypeError, ValueError):
        return False


def _value(value: object) -> str:
    return " ".join(str(value or "").split())[:_MAX_VALUE]


def _person(value: Any) -> str:
    address = _value(str(value))
    address = address[7:] if address.lower().startswith("mailto:") else address
    name = _value(getattr(value, "params", {}).get("CN", ""))
    return f"{name} <{address}>" if name and name != address else address


def _moment(event: Any, name: str) -> date | None:
    """Return a date or a moment; a moment with a zone in the zone of this computer."""
    moment = None
    # The library raises for values that are malformed.
    with suppress(ValueError, AttributeError, KeyError, OverflowError):
        moment = _first(event, name).dt
    if isinstance(moment, datetime):
        return moment.astimezone() if moment.tzinfo is not None else moment
    return moment if isinstance(moment, date) else None


def _end(event: Any) -> date | None:
    """Return the end of an event: a date if it begins with a date, and a moment if it begins with a moment."""
    begin, end = _moment(event, "DTSTART"), _moment(event, "DTEND")
    # As in `_moment`.
    with suppress(ValueError, AttributeError, OverflowError):
        if end is None and begin is not None and isinstance(length := _first(event, "DURATION").dt, timedelta):
            end = begin + length
    if isinstance(end, datetime) and not isinstance(begin, datetime):
        # RFC 5545 §3.8.2.2: both have the same type. The day of the moment is the last one.
        return end.date() + timedelta(days=1)
    return end


def _zone(event: Any, begin: date) -> str:
    """Name the zone of a moment that is shown as it was written, because the zone is not known here."""
    name = (
        _value(_first(event, "DTSTART").params.get("TZID"))
        if isinstance(begin, datetime) and begin.tzinfo is None
        else ""
    )
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
