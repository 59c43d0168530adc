"""Events as lines of text for a terminal or a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from emailsys.client.text.terminal import safe_line
from emailsys.mail.quantities import shown_size
from emailsys.wiretap.conversation import Conversation, Direction, Event, Json, Kind

# The direction of octets, and what an event without octets is.
_SIGNS: Final = {Direction.IN: "<", Direction.OUT: ">"}
# Details that the text of the event says already.
_SAID: Final = {Kind.SECURED: frozenset({"version", "cipher", "forward_secrecy"}), Kind.LOGIN: frozenset({"succeeded"})}


def sign_of(event: Event) -> str:
    """Return `<` for octets that came in, `>` for octets that went out, and `*` for all else."""
    return "*" if event.direction is None else _SIGNS[event.direction]


def words_of(event: Event) -> str:
    """Return what an event says, on one line that is safe for a terminal."""
    if event.kind is Kind.BODY:
        text = f"message, {shown_size(event.octets)}"
        return f"{text}: {safe_line(event.text)}" if event.text else text
    words = [safe_line(event.text)]
    if event.kind is Kind.TLS and event.octets:
        words.append(f"({event.octets:,} octets)")
    if event.direction is None:
        words.insert(0, f"{event.kind.value.upper()}:")
        words.append(_details(event))
    return " ".join(filter(None, words))


def _details(event: Event) -> str:
    said = _SAID.get(event.kind, frozenset())
    shown = {key: value for key, value in event.details.items() if key not in said and value not in ("", None)}
    return " ".join(f"{key}={value_words(value)}" for key, value in shown.items())


def value_words(value: Json) -> str:
    """Return a detail of an event as text that is safe for a terminal."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {value_words(one)}" for key, one in value.items()) + ")"
    if isinstance(value, list | tuple):
        return "; ".join(value_words(one) for one in value)
    text = safe_line(str(value))
    return repr(text) if " " in text else text


def time_of(about: Conversation, event: Event) -> str:
    """Return the local time of an event, to the millisecond."""
    at = datetime.fromtimestamp(about.opened + event.at, UTC).astimezone()
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def line_of(about: Conversation, event: Event) -> str:
    """Return an event on one line: time, session, protocol, direction, words."""
    return f"{time_of(about, event)} {safe_line(about.id)} {about.protocol} {sign_of(event)} {words_of(event)}"
