"""The structure of a message: a row for each part, with type, sizes, encoding overhead, links and defects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from emailsys.mail.message.defects import message_defects, notes_on
from emailsys.mail.message.mime import Part

# RFC 2392: HTML shows an inline part by cid: and its Content-ID. A link to a part does not show it.
_CID: Final = re.compile(
    r"""(?:(?<![-\w])(?:src|srcset|background|poster)\s*+=\s*+|\burl\(\s*+)(?:(?:["']|&quot;|&\#39;)\s*+)?"""
    r"""cid:((?:(?!&quot;|&\#39;)[^"'()<>\s]){1,500})""",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One part of a message. The texts come from the sender and are not safe for a terminal.

    @ivar overhead: the size that the transfer encoding adds, in percent of the decoded octets; None for containers and
        empty parts.
    @ivar links: the numbers of the parts that the HTML of this part shows by Content-ID.
    @ivar notes: what is well-formed but not shown: text around the parts of a multipart.
    """

    number: str
    level: int
    content_type: str
    charset: str
    encoding: str
    raw_octets: int
    decoded_octets: int | None
    overhead: float | None
    name: str
    content_id: str
    links: tuple[str, ...]
    defects: tuple[str, ...]
    notes: tuple[str, ...] = ()


def cid_links(html: str) -> list[str]:
    """Return the Content-IDs of the parts that HTML shows, each once, in order (RFC 2392)."""
    return list(dict.fromkeys(unquote(found) for found in _CID.findall(html)))


def structure(root: Part) -> list[Row]:
    """Return a row for each part, in the order of the message."""
    listed = list(message_defects(root))
    by_content_id: dict[str, Part] = {}
    for part, _ in listed:
        if part.content_id:
            by_content_id.setdefault(part.content_id, part)
    rows = []
    for part, defects in listed:
        decoded_octets: int | None = None
        overhead: float | None = None
        links: list[str] = []
        raw_octets = part.end - part.body_start
        if part.is_leaf:
            decoded, wrong = part.decoded()
            decoded_octets = len(decoded)
            if part.content_type.startswith("text/"):
                text, wrong = part.text()
                if part.content_type == "text/html":
                    for content_id in cid_links(text):
                        if target := by_content_id.get(content_id):
                            links.append(target.number)
                        else:
                            wrong.append(f"cid:{content_id[:80]} refers to no part")
            defects += wrong
            if decoded_octets:
                overhead = round(100 * (raw_octets - decoded_octets) / decoded_octets, 1)
        rows.append(
            Row(
                part.number,
                part.level,
                part.content_type,
                part.charset,
                part.encoding,
                raw_octets,
                decoded_octets,
                overhead,
                part.name,
                part.content_id,
                tuple(links),
                tuple(defects),
                tuple(notes_on(part)),
            )
        )
    return rows
