"""Files of messages: attachments to download, pictures and PDF to look at, and the message itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from emailsys.client.text.file_names import safe_name
from emailsys.mail.message.contents import Contents
from emailsys.mail.message.mime import Part
from emailsys.web.base.face import Answer
from emailsys.web.base.refusal import Refusal

# What browsers show without running anything, by the first octets: the sender's word for it counts for nothing.
_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_PDF: Final = "application/pdf"
_OCTETS: Final = "application/octet-stream"
# A file runs nothing and loads nothing, whatever it turns out to be.
_FILE_POLICY: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
# Browsers centre a picture by styles of their own, which the policy of the file would forbid.
_PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
# Viewers of PDF need styles and refuse to work in a sandbox. They run no script of the document in our origin.
_PDF_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'none'"
# A message may have ten thousand. Its structure names them, and it can be downloaded.
_MAX_LISTED: Final = 300
_NUMBER: Final = re.compile(r"1(?:\.[0-9]{1,4}){0,50}")
_NOT_ASCII: Final = re.compile(r"[^ !#-\[\]-~]|%")


@dataclass(frozen=True, slots=True)
class Attached:
    """An attachment, as a page lists it.

    @ivar kind: the type that is shown, one of a few that browsers can show, or "".
    """

    number: str
    name: str
    content_type: str
    octets: int
    kind: str


def attached(found: Contents) -> list[Attached]:
    """Return the attachments of a message, up to the number that a page lists."""
    files = []
    for part in found.attachments[:_MAX_LISTED]:
        octets = part.decoded()[0] if part.is_leaf else part.raw
        files.append(Attached(part.number, name_of(part), part.content_type, len(octets), shown_as(octets)))
    return files


def name_of(part: Part) -> str:
    """Return a safe file name for a part."""
    fallback = "message.eml" if part.is_message else f"part-{part.number}"
    return safe_name(part.name or part.decoded_of("content-description")[:80], fallback)


def shown_as(octets: bytes) -> str:
    """Return the type in which a browser may show these octets; "" if it may not."""
    for magic, kind in _PICTURES:
        if octets.startswith(magic):
            return kind
    if octets[:4] == b"RIFF" and octets[8:12] == b"WEBP":
        return "image/webp"
    return _PDF if octets.startswith(b"%PDF-") else ""


def part_answer(root: Part, number: str, is_shown: bool) -> Answer:
    """Return a part as a file.

    @param is_shown: whether the browser may show it; else it is saved.
    @raise Refusal: there is no such part.
    """
    part = None
    if _NUMBER.fullmatch(number):
        part = next((one for one in root.walk() if one.number == number), None)
    if part is None:
        raise Refusal(404, "The message has no such part")
    octets = part.decoded()[0] if part.is_leaf else part.raw
    kind = shown_as(octets) if is_shown else ""
    return file_answer(octets, name_of(part), kind)


def file_answer(octets: bytes, name: str, kind: str = "") -> Answer:
    """Return octets as a file with a name.

    @param kind: the type in which the browser shows it; "" saves it.
    """
    disposition = "inline" if kind else "attachment"
    # RFC 6266 §4.3: the first form for old browsers. Neither can hold a quote or a line end.
    plain = _NOT_ASCII.sub("_", name)
    policy = {"": _FILE_POLICY, _PDF: _PDF_POLICY}.get(kind, _PICTURE_POLICY)
    headers = (
        ("Content-Disposition", f"{disposition}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"),
        ("Content-Security-Policy", policy),
        ("Cache-Control", "private, no-store"),
    )
    return Answer(octets, content_type=kind or _OCTETS, headers=headers)
