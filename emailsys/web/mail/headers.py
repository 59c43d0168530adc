"""Header fields explained, and the hosts that a message passed, read from its Received fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.fields import without_comments
from emailsys.mail.message.mime import Part
from emailsys.web.mail.summaries import one_line

_MEANING: Final = {
    "return-path": ("where reports about failed delivery go", "RFC 5321 §4.4"),
    "delivered-to": ("the address that the message was stored for", "RFC 9228"),
    "received": ("a host that passed the message on, the latest first", "RFC 5321 §4.4"),
    "authentication-results": ("what a host found out about the sender", "RFC 8601"),
    "received-spf": ("whether the host was allowed to send for the domain", "RFC 7208 §9.1"),
    "dkim-signature": ("a signature of a domain over the message", "RFC 6376"),
    "arc-seal": ("a signature of a forwarder over what it found out", "RFC 8617"),
    "arc-message-signature": ("a signature of a forwarder over the message", "RFC 8617"),
    "arc-authentication-results": ("what a forwarder found out about the sender", "RFC 8617"),
    "date": ("when the author finished the message", "RFC 5322 §3.6.1"),
    "from": ("the author", "RFC 5322 §3.6.2"),
    "sender": ("who sent it, if that was not the author", "RFC 5322 §3.6.2"),
    "reply-to": ("where answers should go", "RFC 5322 §3.6.2"),
    "to": ("the recipients", "RFC 5322 §3.6.3"),
    "cc": ("those who get a copy", "RFC 5322 §3.6.3"),
    "bcc": ("hidden recipients; should not be here", "RFC 5322 §3.6.3"),
    "message-id": ("the name of this message in the world", "RFC 5322 §3.6.4"),
    "in-reply-to": ("the message that this one answers", "RFC 5322 §3.6.4"),
    "references": ("the conversation, from its first message on", "RFC 5322 §3.6.4"),
    "subject": ("what it is about", "RFC 5322 §3.6.5"),
    "comments": ("remarks", "RFC 5322 §3.6.5"),
    "keywords": ("words to find it by", "RFC 5322 §3.6.5"),
    "resent-from": ("who sent the message on", "RFC 5322 §3.6.6"),
    "resent-to": ("to whom the message was sent on", "RFC 5322 §3.6.6"),
    "resent-date": ("when the message was sent on", "RFC 5322 §3.6.6"),
    "mime-version": ("the message has parts or types (MIME)", "RFC 2045 §4"),
    "content-type": ("the kind of the content", "RFC 2045 §5"),
    "content-transfer-encoding": ("how the content is written as text", "RFC 2045 §6"),
    "content-disposition": ("whether the content is shown or attached", "RFC 2183"),
    "content-id": ("the name by which other parts refer to this one", "RFC 2045 §7"),
    "content-description": ("what the content is, in words", "RFC 2045 §8"),
    "content-language": ("the language", "RFC 3282"),
    "list-id": ("the mailing list", "RFC 2919"),
    "list-unsubscribe": ("how to leave the mailing list", "RFC 2369"),
    "list-unsubscribe-post": ("the list can be left with one click", "RFC 8058"),
    "list-post": ("the address of the mailing list", "RFC 2369"),
    "list-help": ("help for the mailing list", "RFC 2369"),
    "list-archive": ("the archive of the mailing list", "RFC 2369"),
    "auto-submitted": ("whether a program wrote it", "RFC 3834 §5"),
    "precedence": ("how urgent a program found it; no standard", ""),
    "importance": ("how important the author found it", "RFC 4021 §2.1.54"),
    "disposition-notification-to": ("the author wants to know when it is read", "RFC 8098"),
    "autocrypt": ("the author's OpenPGP key", "Autocrypt 1.1"),
    "user-agent": ("the program that wrote it", ""),
    "x-mailer": ("the program that wrote it", ""),
}
# Fields that are shown, and characters of each. A message may have thousands.
_MAX_FIELDS: Final = 300
_MAX_VALUE: Final = 5_000
_MAX_HOPS: Final = 50
_WORD: Final = {name: re.compile(rf"(?:^|\s){name}\s+(\S{{1,255}})", re.I) for name in ("from", "by", "with")}


@dataclass(frozen=True, slots=True)
class ShownField:
    """A header field with its meaning."""

    name: str
    value: str
    meaning: str
    standard: str


@dataclass(frozen=True, slots=True)
class Hop:
    """A host that a message passed. `delay` is in seconds since the hop before, None if a time is missing."""

    sender: str
    host: str
    protocol: str
    at: datetime | None
    delay: float | None

    @property
    def waited(self) -> str:
        """The delay in words."""
        return "" if self.delay is None else duration(self.delay)


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 0:
        return f"{duration(-seconds)} back: the clocks of the two hosts differ"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size * 2:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def explained(root: Part) -> list[ShownField]:
    """Return the header fields of a message in their order."""
    fields = []
    for one in root.fields[:_MAX_FIELDS]:
        meaning, standard = _MEANING.get(one.name.lower(), ("", ""))
        if not meaning and one.name.lower().startswith("x-"):
            meaning = "a field of some program; no standard"
        fields.append(ShownField(one_line(one.name, 80), one_line(one.decoded, _MAX_VALUE), meaning, standard))
    return fields


def hops(root: Part) -> list[Hop]:
    """Return the hosts that a message passed, the first one first."""
    received = [one.text[:_MAX_VALUE] for one in root.fields if one.name.lower() == "received"][:_MAX_HOPS]
    found: list[Hop] = []
    before: datetime | None = None
    for text in reversed(received):
        clauses, _, date = text.rpartition(";")
        clauses = without_comments(clauses or text)
        words = {name: match[1] if (match := pattern.search(clauses)) else "" for name, pattern in _WORD.items()}
        at = parse_date(date)
        if at is not None:
            at = at.astimezone(UTC)
        delay = None if at is None or before is None else (at - before).total_seconds()
        before = at or before
        found.append(Hop(one_line(words["from"]), one_line(words["by"]), one_line(words["with"], 60), at, delay))
    return found
