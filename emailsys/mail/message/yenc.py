"""yEnc: files in the text of Usenet messages, whose octets are shifted by 42 (yEnc draft 1.3)."""

from __future__ import annotations

import re
import zlib
from typing import Final

from emailsys.mail.quantities import counted

YENC_BEGIN: Final = re.compile(rb"^=ybegin ([^\r\n]{0,500})\r?\n", re.M)
YENC_END: Final = re.compile(rb"^=yend( [^\r\n]{0,500})?[^\r\n]*(?:\r?\n|\Z)", re.M)
_PART: Final = re.compile(rb"=ypart [^\r\n]*\r?\n")
_ESCAPED: Final = re.compile(rb"=(.)", re.S)
_MOVED: Final = bytes((octet - 42) % 256 for octet in range(256))
_SIZE: Final = re.compile(rb" size=([0-9]{1,12})\b")
# The checksum of a file, or of the piece in this message ("pcrc32").
_SUM: Final = re.compile(rb" (p?)crc32=([0-9A-Fa-f]{1,8})\b")


def yenc_name(parameters: bytes) -> bytes:
    """Return the file name, which is the last parameter and may have blanks."""
    return parameters.partition(b"name=")[2]


def from_yenc(raw: bytes) -> tuple[bytes, list[str]]:
    """Decode the first file in `raw`. Returns the octets and the defects."""
    begin = YENC_BEGIN.search(raw)
    if begin is None:
        return raw, ["yEnc part without its begin line"]
    start = begin.end()
    part = _PART.match(raw, start)
    start = part.end() if part is not None else start
    end = YENC_END.search(raw, start)
    data = raw[start : end.start() if end is not None else len(raw)].translate(None, b"\r\n")
    octets = _ESCAPED.sub(lambda found: bytes(((found[1][0] - 64) % 256,)), data).translate(_MOVED)
    return octets, _defects(octets, (end[1] or b"") if end is not None else None, part is not None)


def _defects(octets: bytes, stated: bytes | None, is_part: bool) -> list[str]:
    if stated is None:
        return ["yEnc part without its end line"]
    defects = ["one piece of a file: the other pieces are in other messages"] if is_part else []
    size = _SIZE.search(stated)
    if size is not None and int(size[1]) != len(octets):
        defects.append(f"yEnc part of {counted(len(octets), 'octet')}, where {int(size[1])} are stated")
    for found in _SUM.finditer(stated):
        if bool(found[1]) == is_part and int(found[2], 16) != zlib.crc32(octets):
            defects.append("yEnc part whose checksum is wrong: the file is damaged")
    return defects
