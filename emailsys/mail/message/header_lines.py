"""Lines of a header section: its fields, and broken lines among them."""

from __future__ import annotations

import re
from typing import Final

from emailsys.mail.message.part import Field

# RFC 5322 §2.2: a field name is printable ASCII without colon. A line that begins with a blank continues a field.
FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
BLANK_LINE: Final = re.compile(rb"\r*+\n")
_PARAMETER: Final = re.compile(rb"([A-Za-z][A-Za-z0-9-]{0,40})\*?[0-9]{0,3}\*?[ \t]*=")
_WITH_PARAMETERS: Final = frozenset({"content-type", "content-disposition"})
# Parameters of these fields that are recognized even if no semicolon precedes them.
_SURE_PARAMETERS: Final = frozenset({b"boundary", b"charset", b"filename", b"name"})
# Fields that prove that the header goes on, because text does not begin a line with them.
_SURE_FIELDS: Final = frozenset(
    {b"content-type", b"content-transfer-encoding", b"content-disposition", b"mime-version", b"message-id", b"received"}
)
# The most broken lines before such a field that still belong to the header. Other fields between them do not count.
_MAX_BROKEN: Final = 5
#: Broken lines of one header section that are read. Each makes a value longer, which costs time.
MAX_BROKEN_LINES: Final = 50


def broken_line_end(octets: bytes, at: int, last: Field) -> int:
    """Return the end of a line that is not a field but belongs to the header; -1 if the header ends before it.

    Such a line is a parameter, or the rest of a value, that lacks the blank in front. The header goes on if a field of
    MIME or of a mail system follows.

    @param last: the field before the line.
    """
    end = octets.find(b"\n", at) + 1 or len(octets)
    line = octets[at:end].strip()
    if not line or line.startswith(b"--") or (b"\n" in last.value and not last.value.rpartition(b"\n")[2].strip()):
        return -1
    if last.name.lower() in _WITH_PARAMETERS and (found := _PARAMETER.match(line)) is not None:
        is_sure = found[1].lower() in _SURE_PARAMETERS
        return end if is_sure or last.value.rstrip().endswith(b";") else -1
    return end if goes_on(octets, end) else -1


def goes_on(octets: bytes, at: int) -> bool:
    """Whether a header section goes on behind a broken line: a field follows that text does not begin a line with.

    @param at: where the line after the broken one begins.
    """
    broken = 1
    while broken <= _MAX_BROKEN and at < len(octets) and not octets.startswith(b"--", at):
        if (found := FIELD.match(octets, at)) is not None:
            if found[1].lower() in _SURE_FIELDS:
                return True
            at = found.end()
        elif BLANK_LINE.match(octets, at) is not None:
            return False
        else:
            broken += 1
            at = octets.find(b"\n", at) + 1 or len(octets)
    return False
