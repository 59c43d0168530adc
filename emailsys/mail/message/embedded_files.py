"""Files within the text of a message, as programs wrote them before MIME: uuencode and yEnc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from emailsys.mail.message.part import Part
from emailsys.mail.message.transfer_encoding import IDENTITY
from emailsys.mail.message.yenc import YENC_BEGIN, YENC_END, yenc_name

# The name, and lines of data up to the end line. Data has no lower-case letters, so `end` cannot be a line of it.
_UUENCODED: Final = re.compile(
    rb"^begin [0-7]{3,4} ([^\r\n]{1,200})\r?\n((?:[ -`]{1,90}\r?\n)++)(?:\r?\n)?end[ \t]*+(?:\r?\n|\Z)", re.M
)
_MAX_FILES: Final = 100
# Types of files that a reader can look at.
_TYPES: Final = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
}


def take_out_files(root: Part, levels: int) -> None:
    """Give each text that has files in it these files, and the text around them, as parts.

    @param levels: the nesting levels that a message may have.
    """
    if b"begin " not in root.source:
        return
    left = _MAX_FILES
    for part in [*root.walk()]:
        if left <= 0:
            break
        is_text = part.is_leaf and part.content_type == "text/plain" and part.encoding in IDENTITY
        if is_text and not part.name and part.disposition != "attachment" and part.level + 1 < levels:
            left -= _split(part, left)


def _split(part: Part, most: int) -> int:
    """Divide a part, and return the number of its files."""
    files = sorted([*_uuencoded(part), *_yenc(part)], key=lambda one: one[0])[:most]
    at = part.body_start
    count = 0
    for begin, end, name, encoding in files:
        if begin < at:
            # It is within the file before.
            continue
        _add_text(part, at, begin)
        file = _add(part, begin, end)
        file.content_type = _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
        file.encoding, file.disposition, file.disposition_parameters = encoding, "attachment", {"filename": name}
        at = end
        count += 1
    if count:
        _add_text(part, at, part.end)
    return count


def _add(part: Part, begin: int, end: int) -> Part:
    number = f"{part.number}.{len(part.parts) + 1}"
    part.parts.append(Part(part.source, number, part.level + 1, begin, begin, end))
    return part.parts[-1]


def _add_text(part: Part, begin: int, end: int) -> None:
    if part.source[begin:end].strip():
        text = _add(part, begin, end)
        text.parameters, text.encoding = part.parameters, part.encoding


def _uuencoded(part: Part) -> Iterator[tuple[int, int, str, str]]:
    for found in _UUENCODED.finditer(part.source, part.body_start, part.end):
        lines = found[2].splitlines()
        if sum(map(_is_full, lines)) * 2 > len(lines):
            yield found.start(), found.end(), _text(found[1]), "x-uuencode"


def _is_full(line: bytes) -> bool:
    """Whether a line has the length that its first character states; a check character may follow."""
    octets = (line[0] - 32) & 63
    return 0 <= len(line) - 1 - (octets + 2) // 3 * 4 <= 1


def _yenc(part: Part) -> Iterator[tuple[int, int, str, str]]:
    at = part.body_start
    while (begin := YENC_BEGIN.search(part.source, at, part.end)) is not None:
        end = YENC_END.search(part.source, begin.end(), part.end)
        if end is None:
            return
        yield begin.start(), end.end(), _text(yenc_name(begin[1])), "x-yenc"
        at = end.end()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace").strip()
