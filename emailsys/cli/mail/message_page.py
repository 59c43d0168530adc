"""Page of one message: the hosts that it went through, its usual fields, and its MIME tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.hops import Hop, hops
from emailsys.mail.message.structure import Row
from emailsys.wiretap.export import Block, Prose, Step, Structure, Way, page_of

_SHOWN: Final = ("from", "sender", "reply-to", "to", "cc", "date", "subject", "message-id")
# More hosts than any message passes (RFC 5321 §6.3 counts 100 as a loop).
_MOST_HOPS: Final = 100
_MOST_FIELDS: Final = 20
_SECOND: Final = timedelta(seconds=1)


def message_page(rows: Sequence[Row], headers: Sequence[tuple[str, str]]) -> str:
    """Return the page.

    @param headers: all fields in order, decoded.
    """
    shown = [field for field in headers if field[0].lower() in _SHOWN][:_MOST_FIELDS]
    subject = next((value for name, value in shown if name.lower() == "subject"), "").strip()
    blocks: list[Block] = [
        Structure("How it is built", rows, shown),
        Way("The hosts it went through", tuple(steps(headers)), "As the hosts themselves wrote it, in UTC."),
        Prose(
            "What can be trusted",
            (
                "Each host adds a Received field on top. Those of your own host are true.",
                "The sender of the message can have invented all fields below them.",
            ),
        ),
    ]
    return page_of(subject or "A message without a subject", blocks, lead="One message: its parts and its way.")


def steps(headers: Iterable[tuple[str, str]]) -> Iterable[Step]:
    """Yield the way of a message as its header tells it."""
    fields = [(name.lower(), value) for name, value in headers]
    first = next((value for name, value in fields if name == "from"), "")
    date = next((parse_date(value) for name, value in fields if name == "date"), None)
    yield Step("Composed", first or "unknown", at=None if date is None else date.timestamp())
    before = date
    for hop in hops(value for name, value in fields if name == "received")[:_MOST_HOPS]:
        text = _text(hop)
        if before is not None and hop.at is not None:
            text = f"{text} {_delay(hop.at - before)}".strip()
        before = hop.at or before
        yield Step("Received", hop.host or "a host", text, at=None if hop.at is None else hop.at.timestamp())


def _text(hop: Hop) -> str:
    source = f"From {hop.source}" if hop.source else "From somewhere"
    by = f" by {hop.protocol}" if hop.protocol else ""
    return f"{source}{by}{', encrypted' if hop.is_encrypted else ''}."


def _delay(between: timedelta) -> str:
    if between < timedelta(0):
        return f"{-between} before the step before: a clock is wrong."
    return "Less than a second later." if between < _SECOND else f"{between} later."
