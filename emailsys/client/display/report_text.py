"""Delivery reports and notifications of reading as a person reads them: who, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from emailsys.mail.dsn.text import meaning
from emailsys.mail.message.mime import Part, parse_header

_REPORT: Final = "---------- What the report says ----------"
_TEXT: Final = "---------- The text of the message ----------"
# RFC 3464, RFC 8098, and their internationalized forms (RFC 6533).
_STATUS_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_READ_TYPES: Final = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_EMPTY_LINE: Final = re.compile(rb"\r?\n(?:[ \t]*\r?\n)+")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
# Groups of fields that are read: one for the message, and one for each recipient.
_MAX_GROUPS: Final = 200
_MAX_VALUE: Final = 1_000
# RFC 3464 §2.3.3.
_ACTIONS: Final = {
    "failed": "was not delivered",
    "delayed": "is not delivered yet; the mail system keeps trying, and you need not send it again",
    "delivered": "was delivered",
    "relayed": "was passed on to a mail system that sends no reports",
    "expanded": "was delivered to a list or to several addresses",
}
# RFC 8098 §3.2.6.2.
_READINGS: Final = {
    "displayed": "has opened the message",
    "deleted": "has deleted the message without opening it",
    "dispatched": "has passed the message on",
    "processed": "has handled the message without showing it to a person",
    "denied": "does not tell whether the message was read",
    "failed": "could not tell whether the message was read",
}


def report_text(root: Part) -> str:
    """Return what the reports in a message say, "" if there are none. Not safe for a terminal."""
    lines: list[str] = []
    for part in _own_leaves(root):
        if part.content_type in _STATUS_TYPES:
            lines += _delivery(_groups(part))
        elif part.content_type in _READ_TYPES:
            lines += [_reading(group) for group in _groups(part)[:1]]
    return "\n".join([_REPORT, *lines]) if lines else ""


def above(report: str, text: str) -> str:
    """Put what the reports say above the text of the message.

    The returned message is in the text. It may be long, and would hide them.
    """
    return "\n\n".join(one for one in (report, f"{_TEXT}\n{text}" if report and text else text) if one)


def _own_leaves(part: Part) -> Iterator[Part]:
    """Yield the leaves of a message without those of the messages inside: a report in them is not this message's."""
    waiting = [part]
    while waiting:
        one = waiting.pop()
        if one.is_leaf:
            yield one
        elif not one.is_message or one.level == 0:
            waiting.extend(reversed(one.parts))


def _groups(part: Part) -> list[Part]:
    pieces = [piece for piece in _EMPTY_LINE.split(part.decoded()[0]) if piece.strip()]
    return [parse_header(piece + b"\r\n\r\n") for piece in pieces[:_MAX_GROUPS]]


def _delivery(groups: list[Part]) -> Iterator[str]:
    for group in groups:
        address = _typed(group, "final-recipient") or _typed(group, "original-recipient")
        # The group of the message has none (RFC 3464 §2.2).
        if not address.strip("; "):
            continue
        original = _typed(group, "original-recipient")
        action = group.text_of("action").partition("(")[0].strip().lower()
        shown = f"{original} (forwarded to {address})" if original and original.lower() != address.lower() else address
        yield f"To {shown}: the message {_ACTIONS.get(action, f'has the state {action[:40]!r}')}."
        reply = _typed(group, "diagnostic-code")
        if reply:
            server = _typed(group, "remote-mta")
            yield f"  {f'The server {server}' if server else 'The mail system'} said: {reply}"
        status = _STATUS.search(group.text_of("status"))
        if action in ("failed", "delayed") and status is not None:
            yield f"  {meaning(status[0])}"
        if until := _one_line(group.decoded_of("will-retry-until")):
            yield f"  It is tried until {until}."


def _reading(group: Part) -> str:
    address = _typed(group, "final-recipient") or "The recipient"
    kind = group.text_of("disposition").rpartition(";")[2].partition("/")[0].strip().lower()
    return f"{address} {_READINGS.get(kind, 'has answered a request for a notification')}."


def _typed(group: Part, name: str) -> str:
    """Return the value of a field without its type in front, such as "rfc822;" (RFC 3464 §2.1.2)."""
    value = group.decoded_of(name)
    kind, semicolon, rest = value.partition(";")
    return _one_line(rest if semicolon and re.fullmatch(r"\s*[\w.-]+\s*", kind) else value)


def _one_line(value: str) -> str:
    """Return a value without line ends, which an encoded word can have: it must not look like a line of ours."""
    return " ".join(value.split())[:_MAX_VALUE]
