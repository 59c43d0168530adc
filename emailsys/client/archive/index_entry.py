"""Extraction of what the index stores about a message."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from emailsys.client.archive.values import AS_TYPED
from emailsys.mail.message.authorship import unauthenticated_by
from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.fields import decode_words
from emailsys.mail.message.ids import message_id, message_ids, replied_ids
from emailsys.mail.message.mailboxes import Mailbox, list_name, read_mailboxes
from emailsys.mail.message.mime import Field, parse, read_fields

# Limits in characters: text that is indexed, text shown in lists, and one header field.
_SEARCHED: Final = 100_000
_PREVIEW: Final = 120
_FIELD: Final = 1_000
# A Date later than this after the arrival is ignored: a wrong clock, or an attempt to stay on top of the list.
_MAX_AHEAD: Final = timedelta(days=1)
_RECIPIENTS: Final = ("to", "cc", "bcc")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Heading:
    """The header fields in a message's file name."""

    date: datetime
    subject: str
    sender: str


@dataclass(frozen=True, slots=True)
class IndexFields(Heading):
    """The fields of a message in the index. The `_words` fields are the texts for the search.

    `unverified` is whether From is an address of the receiving system, and the client did not log in there.
    """

    recipients: str
    preview: str
    message_id: str
    references: tuple[str, ...]
    attachments: int
    unverified: bool
    sender_mailboxes: tuple[Mailbox, ...]
    recipient_mailboxes: tuple[Mailbox, ...]
    subject_words: str
    sender_words: str
    recipient_words: str
    body_words: str
    attachment_words: str


def moment_of(seconds: float) -> datetime:
    """Return the moment of a file's time stamp; 1970 for a stamp that no date can express."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH


@lru_cache(maxsize=1)
def _unspaced() -> re.Pattern[str]:
    """Return the expression of scripts without spaces between words, which are indexed character by character.

    It and that of symbols take 5 ms to compile, and many commands need neither.
    """
    return re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]")


@lru_cache(maxsize=1)
def _symbols() -> re.Pattern[str]:
    """Return the expression of symbols that people search for.

    They are currencies, marks such as "™", arrows, mathematics, dingbats and emoji.
    """
    return re.compile(
        "([\u00a2-\u00a7\u00a9\u00ac\u00ae-\u00b1\u00b6\u00d7\u00f7\u20a0-\u20cf\u2100-\u2101\u2103-\u2106\u2116-\u2117"
        "\u2120-\u2123\u2190-\u23ff\u25a0-\u2775\u2794-\u2bff\U0001f000-\U0001f0ff\U0001f110-\U0001faff])\\1*"
    )


def spaced(text: str) -> str:
    """Prepare text for the word index, and the words of a search for it.

    Characters of scripts that have no spaces between words get spaces, and symbols become words. Composed and
    decomposed forms of a letter are the same.
    """
    if text.isascii():
        return text
    return _symbols().sub(_symbol_word, _unspaced().sub(r" \g<0> ", unicodedata.normalize("NFC", text)))


def is_one_word(text: str) -> bool:
    """Whether SQLite's tokenizer takes text as one word for certain.

    It knows the letters of Unicode 6.1. For all later ones, and for what `spaced` divides, this is False.
    """
    return all(unicodedata.ucd_3_2_0.category(one)[0] in "LN" for one in spaced(text)) and text != ""


def _symbol_word(found: re.Match[str]) -> str:
    # SQLite's tokenizer drops symbols, and takes characters for private use as letters. A run is one word.
    return f" \ue000{ord(found[1]):x} "


def one_line(text: str, most: int = _FIELD) -> str:
    """Return text on one line, cut to a number of characters."""
    text = text[: most * 4]
    if text.isprintable() and "  " not in text:
        # The common case: no whitespace but single spaces, no lone surrogates.
        return text.strip()[:most]
    # `split` splits at the same characters as \s, in a fifth of the time.
    return " ".join(text.split())[:most].encode("utf-8", "replace").decode()


# The same people write repeatedly. The cache is small: a field has at most MAX_STRUCTURED characters.
@lru_cache(maxsize=512)
def _people(*texts: str) -> tuple[str, str, tuple[Mailbox, ...]]:
    """Parse address fields. Return text for lists, text for the search, and the mailboxes."""
    shown: list[str] = []
    words: list[str] = []
    people: list[Mailbox] = []
    for text in texts:
        if not text:
            continue
        mailboxes = read_mailboxes(text)
        if not mailboxes:
            shown.append(decode_words(text))
        shown += map(list_name, mailboxes)
        words += [f"{mailbox.name} {mailbox.address}" for mailbox in mailboxes]
        people += mailboxes
    return one_line(", ".join(shown)), one_line(" ".join(words or shown), 20_000), tuple(people)


def _text_of(first: Mapping[str, Field], name: str) -> str:
    return first[name].text if name in first else ""


def _as_typed(fields: Sequence[Field], first: Mapping[str, Field]) -> list[str]:
    """Return the recipients of a draft that are no addresses yet, so that lists show them."""
    if AS_TYPED.lower() not in first:
        return []
    lines = (one.decoded.partition(":") for one in fields if one.name.lower() == AS_TYPED.lower())
    return [text for name, _, text in lines if name.lower() in _RECIPIENTS]


def _first(fields: Sequence[Field]) -> Mapping[str, Field]:
    """Return the first field of each name, by lower-case name."""
    return {one.name.lower(): one for one in reversed(fields)}


def _date(first: Mapping[str, Field], arrived: datetime) -> datetime:
    """Return the date of a message: that of its author, or else that of the server that received it last."""
    received = _text_of(first, "received").rpartition(";")[2]
    for text in (_text_of(first, "date"), received):
        date = parse_date(text) if text else None
        if date is not None and date >= _EPOCH and date - _MAX_AHEAD <= arrived:
            return date
    return arrived.astimezone(UTC)


def _heading(first: Mapping[str, Field], arrived: datetime) -> Heading:
    return Heading(
        _date(first, arrived), one_line(decode_words(_text_of(first, "subject"))), _people(_text_of(first, "from"))[0]
    )


def heading_of(octets: bytes, arrived: datetime) -> Heading:
    """Read date, subject, and sender as `index_fields` does, without the body."""
    fields = read_fields(octets)
    if any(one.charset for one in fields):
        # Only the text tells the charset of such a header.
        fields = parse(octets).fields
    return _heading(_first(fields), arrived)


def index_fields(octets: bytes, arrived: datetime, heading: Heading | None = None) -> IndexFields:
    """Read a message. Never raises, whatever the octets are.

    @param heading: what `heading_of` returned for the same message; None to read it here.
    """
    root = parse(octets)
    first = _first(root.fields)
    if heading is None:
        heading = _heading(first, arrived)
    # The readers of HTML and of calendars; a list of what is in the index needs none of them.
    from emailsys.client.text.message_text import read_text

    text, _, found = read_text(root, _SEARCHED)
    text = f"{text[:_SEARCHED]}\n"
    attached = [part for part in found.attachments if part not in found.inline]
    _sender, sender_words, sender_mailboxes = _people(_text_of(first, "from"))
    recipients, recipient_words, recipient_mailboxes = _people(
        *(_text_of(first, name) for name in _RECIPIENTS), *_as_typed(root.fields, first)
    )
    people = {str(one.address).lower() for one in (*sender_mailboxes, *recipient_mailboxes)}
    mentioned = message_ids(_text_of(first, "references"), people) + replied_ids(_text_of(first, "in-reply-to"), people)
    return IndexFields(
        date=heading.date,
        subject=heading.subject,
        sender=heading.sender,
        recipients=recipients,
        preview=one_line(text, _PREVIEW),
        message_id=message_id(_text_of(first, "message-id")),
        references=tuple(dict.fromkeys(mentioned))[-100:],
        attachments=len(attached),
        unverified=unauthenticated_by(root) is not None,
        sender_mailboxes=sender_mailboxes,
        recipient_mailboxes=recipient_mailboxes,
        subject_words=spaced(heading.subject),
        sender_words=spaced(sender_words),
        recipient_words=spaced(recipient_words),
        body_words=text if text.isascii() else spaced(text).encode("utf-8", "replace").decode(),
        attachment_words=spaced(one_line(" ".join(part.name for part in attached), 10_000)),
    )
