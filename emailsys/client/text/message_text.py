"""Text of a message for reading, searching and quoting: its text parts as plain text, and what they lack."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from emailsys.client.text.enriched import enriched_text
from emailsys.client.text.frames import without_frames
from emailsys.client.text.html import ConvertedHTML, convert
from emailsys.client.text.invitation import invitation_text
from emailsys.mail.message.contents import Contents, contents
from emailsys.mail.message.defects import around_parts
from emailsys.mail.message.flowed import joined_paragraphs
from emailsys.mail.message.mime import Part

# The fields of a message inside that stand above its text.
_HEAD: Final = ("From", "To", "Cc", "Date", "Subject")
_MAX_FIELD: Final = 1_000
_PROTECTED: Final = frozenset({"multipart/signed", "multipart/encrypted"})
# Kinds of attachments that are shown below the text as well.
_CALENDARS: Final = frozenset({"text/calendar", "application/ics"})
_ENRICHED: Final = frozenset({"text/enriched", "text/richtext"})
# Characters of HTML that are converted for each character of text that is wanted.
_MARKUP: Final = 10
# Tags of one message that are converted, in less than half a second: 3 to 5 us each. A part costs as much as some tags.
_MAX_TAGS: Final = 75_000
_TAGS_OF_PART: Final = 20
# The share of the tags that are left which one part may have. So a short part behind a very long one is shown.
_SHARE: Final = 0.9
_TOO_LONG: Final = "too long to be shown completely; save the message to read all of it"
_TAG: Final = re.compile("<")


TextsOf = Callable[[Iterable[Part]], Iterator[str]]


def plain_text(part: Part, most: int, pictures: Mapping[str, str] | None = None) -> tuple[str, list[str]]:
    """Return a text part as plain text of at most `most` characters, and its defects. HTML is converted.

    The lines of format=flowed are joined.

    @param pictures: the numbers of the parts that pictures of HTML show, by Content-ID, to name them in the text.
    """
    return _plain_text(part, most, _MAX_TAGS, pictures)[:2]


def _plain_text(
    part: Part, most: int, most_tags: int, pictures: Mapping[str, str] | None
) -> tuple[str, list[str], int]:
    """Return what `plain_text` returns, and how many tags were converted. @param most_tags: the most of them."""
    text, defects = part.text()
    if part.content_type in _CALENDARS:
        text, wrong = invitation_text(text)
        return text[:most], [*defects, *wrong], 0
    if part.content_type == "text/html":
        end = _markup_end(text, most * _MARKUP, most_tags)
        is_long = end < len(text)
        text = text[:end]
        converted = convert(text, pictures) if end else ConvertedHTML("", ())
        defects += converted.defects
        if is_long or len(converted.text) > most:
            defects.append(_TOO_LONG)
        return converted.text[:most], defects, text.count("<") + _TAGS_OF_PART
    if len(text) > most:
        defects.append(_TOO_LONG)
        text = text[:most]
    if part.content_type in _ENRICHED:
        text, wrong = enriched_text(text, part.content_type == "text/richtext")
        return text, [*defects, *wrong], 0
    if part.parameters.get("format", "").strip().lower() == "flowed":
        text = joined_paragraphs(text, part.parameters.get("delsp", "").strip().lower() == "yes")
    return text, defects, 0


def _markup_end(html: str, most: int, most_tags: int) -> int:
    """Return how much of HTML is converted. It is cut before a tag: one that never ends is looked for a second time."""
    end = len(html)
    if end > most:
        end = max(0, html.rfind("<", 0, most)) or most
    if html.count("<", 0, end) > most_tags:
        end = next(islice(_TAG.finditer(html), most_tags, None)).start()
    return end


def read_text(
    root: Part,
    most: int,
    prefer_html: bool = False,
    with_inside: bool = True,
    framed: Callable[[Part], str] | None = None,
    names_pictures: bool = False,
) -> tuple[str, list[str], Contents]:
    """Return the text of a message, its defects with the numbers of their parts, and the message's contents.

    If the parts that should be the text have none, the first other part with text is shown, and a defect says so.

    @param most: characters of one part.
    @param with_inside: whether the texts of messages inside follow.
    @param names_pictures: whether the text has the numbers of the parts that pictures of HTML show.
    @param framed: returns the frame above a text, or "". It stands once above several texts with the same frame.
    """
    found = contents(root, prefer_html)
    pictures = {part.content_id: part.number for part in root.walk() if part.content_id} if names_pictures else None
    defects: list[str] = []
    above = [""]
    tags_left = _MAX_TAGS

    def texts_of(parts: Iterable[Part]) -> Iterator[str]:
        nonlocal tags_left
        for part in parts:
            text, wrong, tags = _plain_text(part, most, int(tags_left * _SHARE), pictures)
            tags_left = max(0, tags_left - tags)
            defects.extend(f"part {part.number}: {one}" for one in wrong)
            if text.strip():
                text = text.strip("\n")
                if framed is not None:
                    line = framed(part)
                    text = without_frames(text)
                    if line and line != above[-1]:
                        text = f"{line}\n\n{text}"
                    above.append(line)
                yield text

    pieces = [*texts_of(found.texts)]
    shown = {id(one) for one in found.texts}
    pieces += texts_of(one for one in found.attachments if one.content_type in _CALENDARS and id(one) not in shown)
    if with_inside:
        pieces += _inside(found, texts_of)
    if not pieces:
        for part in _other_texts(root, found):
            pieces = [*texts_of([part])]
            if pieces:
                if found.texts:
                    defects.append(f"the text has no words: part {part.number} is shown instead")
                break
    if not pieces and (calendar := next(filter(str.strip, _calendars(root)), "")):
        pieces.append(without_frames(calendar[:most]))
        defects.append("the calendar is shown as it was received")
    if not pieces and (around := _around_parts(root)):
        line = framed(root) if framed is not None else ""
        pieces.append("\n\n".join(one for one in (line, without_frames(around)) if one))
        defects.append("the parts have no text: the text around them is shown")
    return "\n\n".join(pieces), defects, found


def _inside(found: Contents, texts_of: TextsOf) -> Iterator[str]:
    for part, inner in found.inside:
        pieces = [*texts_of(inner.texts), *_inside(inner, texts_of)]
        files = [f"Part {one.number}: {_file_text(one)}" for one in inner.attachments]
        if pieces or files:
            head = part.parts[0]
            lines = [f"---------- Part {part.number}: a message ----------"]
            # An encoded word can have line ends. They must not look like further fields.
            values = ((name, _one_line(head.decoded_of(name))) for name in _HEAD)
            lines += [f"{name}: {value}" for name, value in values if value]
            yield "\n".join(lines)
            yield from pieces
            if files:
                yield "\n".join([f"---------- Files of part {part.number} ----------", *files])


def _file_text(part: Part) -> str:
    return f"{_one_line(part.name)}, {part.content_type}" if part.name.strip() else part.content_type


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_FIELD]


def _calendars(root: Part) -> Iterator[str]:
    return (part.text()[0] for part in root.walk() if part.is_leaf and part.content_type in _CALENDARS)


def _around_parts(root: Part) -> str:
    """Return the text before the first part and behind the last one, which mail programs do not show."""
    if root.content_type in _PROTECTED:
        # It would be taken for signed or decrypted text.
        return ""
    return "\n".join(filter(None, around_parts(root)))


def _other_texts(root: Part, found: Contents) -> Iterator[Part]:
    """Yield the leaves that may have text although they are not the message's text: alternatives first."""
    tried = {id(part) for part in found.texts}
    others = [*found.alternatives, *(part for part in root.walk() if part.is_leaf)]
    for part in others:
        if id(part) not in tried and part.content_type.startswith(("text/", "multipart/")):
            tried.add(id(part))
            yield part
