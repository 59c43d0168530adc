"""Answers to invitations: an iTIP REPLY (RFC 5546 §3.2.3) in a message (RFC 6047), for those who are invited."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.header_fields import is_message_id
from emailsys.client.text.terminal import safe_line
from emailsys.mail.address import Address, AddressSyntaxError, parse_foreign
from emailsys.mail.message.ids import message_id
from emailsys.mail.message.mailboxes import Mailbox, read_mailboxes
from emailsys.mail.message.mime import Part, parse

_CALENDARS: Final = frozenset({"text/calendar", "application/ics"})
_MAX_CALENDAR: Final = 200_000
_MAX_EVENTS: Final = 20
_MAX_TITLE: Final = 200


class Answer(enum.Enum):
    """An answer: its name, and the participation status that it sends (RFC 5545 §3.2.12)."""

    ACCEPT = "accept"
    TENTATIVE = "tentative"
    DECLINE = "decline"

    @property
    def status(self) -> str:
        """The participation status."""
        return {"accept": "ACCEPTED", "tentative": "TENTATIVE", "decline": "DECLINED"}[self.value]

    @property
    def word(self) -> str:
        """The answer as a participle, such as "accepted"."""
        return {"accept": "accepted", "tentative": "accepted as tentative", "decline": "declined"}[self.value]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an event: what a calendar object asks for, of which event, and in which revision.

    `method` is in upper case. `stamp` orders versions of the same `sequence` (RFC 5546 §2.1.5).
    """

    method: str
    uid: str
    sequence: int
    stamp: datetime
    title: str
    organizer: Address | None

    @property
    def identity(self) -> tuple[str, str]:
        """The event: its UID and its organiser."""
        return self.uid, str(self.organizer).lower()

    @property
    def order(self) -> tuple[int, datetime]:
        """Sorts the versions of an event."""
        return self.sequence, self.stamp


@dataclass(frozen=True, slots=True)
class Request:
    """An invitation that can be answered.

    @ivar attendee: the invited address of the account.
    @ivar events: the event and its occurrences that are answered, each with the attendee.
    @ivar others: titles of other events in the message. These are not answered.
    """

    version: Version
    organizer: Address
    attendee: Address
    author: str
    calendar: Any
    events: tuple[tuple[Any, Any], ...]
    root: Part
    others: tuple[str, ...] = ()


def versions(octets: bytes) -> list[Version]:
    """Return the versions of events that a message brings. A calendar that cannot be read has none."""
    return [_version(calendar, event) for calendar, events in _calendars(parse(octets)) for event in events]


def request_of(octets: bytes, owns: Callable[[Address], bool]) -> Request:
    """Return the invitation of a message.

    @param owns: whether an address belongs to the answering account.
    @raise ComposeError: the message has none that this account can answer.
    """
    root = parse(octets)
    calendars = _calendars(root)
    if not calendars:
        raise ComposeError("The message has no invitation that can be read.")
    for calendar, events in calendars:
        if _method(calendar) != "REQUEST":
            continue
        invited = [(event, one) for event in events for one in _attendees(event) if _is_owned(one, owns)]
        if not invited:
            raise ComposeError("No address of this account is among those who are invited.")
        event, attendee = invited[0]
        version, address = _version(calendar, event), _address(attendee)
        if version.organizer is None or address is None or not version.uid:
            raise ComposeError("The invitation has no organiser to answer, or no UID.")
        author = ", ".join(str(one.address) for one in read_mailboxes(root.text_of("from"))[:3])
        # RFC 5546 §3.2.2: all components have one UID. The user is asked only about the event of the first one.
        once = {id(event): (event, attendee) for event, attendee in reversed(invited)}
        answered = [pair for pair in once.values() if _version(calendar, pair[0]).identity == version.identity]
        asking = [_version(one, event) for one, events in calendars if _method(one) == "REQUEST" for event in events]
        others = dict.fromkeys(one.title for one in asking if one.identity != version.identity)
        return Request(
            version, version.organizer, address, author, calendar, tuple(answered)[::-1], root, tuple(others)
        )
    raise ComposeError("The message asks for no answer: it is no invitation, but an answer, a cancellation or a copy.")


def draft_of(request: Request, answer: Answer, name: str, now: datetime) -> Draft:
    """Return the message that answers an invitation.

    @param name: the display name of the account.
    """
    title = request.version.title or "(no title)"
    own = message_id(request.root.text_of("message-id"))
    known = own if own and is_message_id(own) else None
    verb = {"accept": "Accepted", "tentative": "Tentative", "decline": "Declined"}[answer.value]
    return Draft(
        sender=Mailbox(name, request.attendee),
        to=[Mailbox("", request.organizer)],
        subject=f"{verb}: {title}",
        text=f"{name or request.attendee} has {answer.word} the invitation: {title}\n",
        calendar=("REPLY", _reply(request, answer, now)),
        in_reply_to=known,
        references=[known] if known else [],
    )


def question(request: Request, answer: Answer, notes: Sequence[str]) -> str:
    """Return the question before an answer is sent: what goes to whom, and what is known of the event."""
    lines = [f"Tell {request.organizer} that {request.attendee} has {answer.word} “{request.version.title}”?"]
    if str(request.organizer).lower() not in request.author.lower().split(", "):
        lines.append(
            safe_line(f"The invitation was sent by {request.author or 'an unknown author'}, not by the organiser.")
        )
    if request.others:
        titles = ", ".join(f"“{title or '(no title)'}”" for title in request.others)
        lines.append(f"The message also has other events, which are not answered: {titles}.")
    return "\n\n".join([*lines, *notes])


def _calendars(root: Part) -> list[tuple[Any, list[Any]]]:
    parts = [one for one in root.walk() if one.content_type in _CALENDARS and one.is_leaf]
    return [pair for part in parts for pair in _read(part.text()[0])]


def _read(text: str) -> list[tuple[Any, list[Any]]]:
    from emailsys.client.text.calendar_zones import read_calendars

    if len(text) > _MAX_CALENDAR:
        return []
    try:
        pairs = [(one, [inner for inner in one.walk() if inner.name == "VEVENT"]) for one in read_calendars(text)]
    except Exception:  # The library raises whatever a malformed line leads to. The reader tells of it.
        return []
    return [(one, events[:_MAX_EVENTS]) for one, events in pairs if events]


def _first(component: Any, name: str) -> Any:
    value = component.get(name)
    return value[0] if isinstance(value, list) and value else value


def _method(calendar: Any) -> str:
    return str(_first(calendar, "METHOD") or "").upper()


def _attendees(event: Any) -> list[Any]:
    found = event.get("ATTENDEE") or []
    return found if isinstance(found, list) else [found]


def _address(value: Any) -> Address | None:
    text = str(value or "").strip()
    try:
        return parse_foreign(text[7:]) if text.lower().startswith("mailto:") else None
    except AddressSyntaxError:
        return None


def _is_owned(attendee: Any, owns: Callable[[Address], bool]) -> bool:
    address = _address(attendee)
    return address is not None and owns(address)


def _version(calendar: Any, event: Any) -> Version:
    try:
        sequence = int(_first(event, "SEQUENCE") or 0)
    except (TypeError, ValueError):
        sequence = 0
    stamp = getattr(_first(event, "DTSTAMP"), "dt", None)
    is_moment = isinstance(stamp, datetime)
    moment = (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)) if is_moment else None  # type: ignore[union-attr]
    return Version(
        _method(calendar),
        str(_first(event, "UID") or "").strip(),
        sequence,
        moment or datetime(1970, 1, 1, tzinfo=UTC),
        safe_line(" ".join(str(_first(event, "SUMMARY") or "").split()))[:_MAX_TITLE],
        _address(_first(event, "ORGANIZER")),
    )


def _reply(request: Request, answer: Answer, now: datetime) -> str:
    from icalendar import Calendar, Event, vCalAddress

    try:
        reply = Calendar()
        reply.add("prodid", "-//emailsys//mail//EN")
        reply.add("version", "2.0")
        reply.add("method", "REPLY")
        if any(event.get("RECURRENCE-ID") is not None for event, _ in request.events):
            # RFC 5545 §3.2.19: the zone of a date is in the same object.
            for zone in request.calendar.walk("VTIMEZONE"):
                reply.add_component(zone)
        for event, attendee in request.events:
            own = Event()
            for name in ("UID", "RECURRENCE-ID", "SEQUENCE", "ORGANIZER", "SUMMARY"):
                if (value := _first(event, name)) is not None:
                    own[name] = value
            own.add("dtstamp", now.astimezone(UTC))
            person = vCalAddress(str(attendee))
            if name := attendee.params.get("CN"):
                person.params["CN"] = name
            person.params["PARTSTAT"] = answer.status
            own["ATTENDEE"] = person
            reply.add_component(own)
        return str(reply.to_ical().decode("utf-8", "replace"))
    except Exception as error:  # As above: a malformed value.
        raise ComposeError(f"The invitation cannot be answered: {safe_line(str(error))[:_MAX_TITLE]}") from error
