"""Contents of a message: the one decision which parts are its text, alternatives, inline pictures and attachments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from emailsys.mail.message.mime import Part
from emailsys.mail.message.structure import cid_links

# Kinds of text that are data for programs. They are attachments even if nothing says so.
_DATA: Final = frozenset(
    f"text/{kind}"
    for kind in ("calendar", "vcard", "x-vcard", "directory", "css", "javascript", "rtf", "xml", "rfc822-headers")
)
# Kinds of text that are shown although they have a name, unless they are declared as attachments.
_PROSE: Final = frozenset({"text/plain", "text/html", "text/enriched", "text/richtext", "text/markdown"})
# Kinds of parts that HTML can show.
_MEDIA: Final = ("image/", "audio/", "video/")
_NO_TEXT: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(head|script|style|title)\b.*?(?:</\1\s*>|\Z)|<[^>]*(?:>|\Z)|&(?:nbsp|zwnj|#160|#8204|#x200c);?",
    re.I | re.S,
)
# Characters that are invisible, and that newsletters put in front of their text.
_INVISIBLE: Final = re.compile(r"[\s\u00a0\u00ad\u034f\u200b-\u200f\u2060\ufeff]+")
# Characters of a part in which text is looked for.
_SEARCHED: Final = 200_000


@dataclass(slots=True)
class Contents:
    """Every leaf of a message is in one of these lists, and a text may be an attachment, too.

    A message inside is an attachment as a whole: its own leaves are in `inside` if they are text, or else only in it.

    @ivar texts: the parts that are the text, in order.
    @ivar alternatives: texts that are not shown, because one in `texts` says the same (RFC 2046 §5.1.4).
    @ivar attachments: the parts that are listed and can be saved, among them pictures of the text.
    @ivar inline: those of `attachments` that the HTML shows.
    @ivar inside: the messages inside that are shown below the text, each with its texts.
    """

    texts: list[Part] = field(default_factory=list)
    alternatives: list[Part] = field(default_factory=list)
    attachments: list[Part] = field(default_factory=list)
    inline: list[Part] = field(default_factory=list)
    inside: list[tuple[Part, Contents]] = field(default_factory=list)


def contents(root: Part, prefer_html: bool = False) -> Contents:
    """Return the contents of a message.

    @param prefer_html: of alternatives, take HTML instead of plain text.
    """
    found = Contents()
    _add(found, root, prefer_html, is_shown=True)
    shown = _referred(root)
    found.inline = [
        part
        for part in found.attachments
        if part.disposition != "attachment"
        and part.content_type.startswith(_MEDIA)
        and part.content_id
        and part.content_id in shown
    ]
    return found


def _referred(root: Part) -> set[str]:
    """Return the Content-IDs of the parts that the HTML of a message shows."""
    parts = list(root.walk())
    if not any(part.content_id for part in parts):
        return set()
    return {one for part in parts if part.content_type == "text/html" for one in cid_links(part.text()[0])}


def _add(found: Contents, part: Part, prefer_html: bool, is_shown: bool) -> None:
    """Add a part and those in it. @param is_shown: whether its texts are shown, and not alternatives of others."""
    if part.is_leaf:
        _add_leaf(found, part, is_shown)
    elif part.is_message:
        found.attachments.append(part)
        if part.level == 0:
            # The message is nothing but another one.
            _add(found, part.parts[0], prefer_html, is_shown)
        elif part.disposition != "attachment" and is_shown:
            inner = Contents()
            _add(inner, part.parts[0], prefer_html, is_shown=True)
            found.inside.append((part, inner))
    elif part.content_type == "multipart/alternative":
        chosen = _chosen(part, prefer_html) if is_shown else None
        for one in part.parts:
            _add(found, one, prefer_html, is_shown and (one is chosen or chosen is None))
    else:
        for one in part.parts:
            _add(found, one, prefer_html, is_shown)


def _add_leaf(found: Contents, part: Part, is_shown: bool) -> None:
    is_text = part.content_type.startswith(("text/", "multipart/")) and part.content_type not in _DATA
    if part.disposition == "attachment" or not is_text:
        found.attachments.append(part)
        return
    # A multipart whose parts were lost is text (RFC 2046 §5.1).
    is_lost = part.content_type.startswith("multipart/")
    if part.name or (is_lost and part.level):
        found.attachments.append(part)
        # RFC 2183 §2.1: what is inline, or the whole message, is shown.
        if part.content_type not in _PROSE and not is_lost and part.disposition != "inline" and part.level:
            return
    elif not is_shown:
        found.alternatives.append(part)
    if is_shown:
        found.texts.append(part)


def _chosen(alternative: Part, prefer_html: bool) -> Part | None:
    """Return the alternative that is shown: plain text, or else the last rich one, that has text; None for none."""
    plain: list[Part] = []
    rich: list[Part] = []
    other: list[Part] = []
    for one in alternative.parts:
        if one.disposition == "attachment" or not _is_readable(one):
            continue
        kind = plain if one.content_type == "text/plain" else other
        (rich if one.content_type == "text/html" or not one.is_leaf else kind).append(one)
    rich.reverse()
    other.reverse()
    order = [*rich, *plain, *other] if prefer_html else [*plain, *rich, *other]
    if len(order) < 2:
        return order[0] if order else None
    return next((one for one in order if has_text(one)), (rich or order)[0])


def _is_readable(part: Part) -> bool:
    return any(
        one.is_leaf and one.content_type.startswith("text/") and one.content_type not in _DATA for one in part.walk()
    )


def has_text(part: Part) -> bool:
    """Whether a part, or one in it, has text that a person can see."""
    for one in part.walk():
        if one.is_leaf and one.content_type.startswith("text/"):
            text = one.text()[0][:_SEARCHED]
            if one.content_type == "text/html":
                text = _NO_TEXT.sub("", text)
            if _INVISIBLE.sub("", text):
                return True
    return False
