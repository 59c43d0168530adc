"""Messages in a form that no header section has, read as what they plainly are.

Finds UTF-16, carriage returns as line ends, and lines above the header that are not part of the message.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

# Names of fields that a message begins with, or that prove that a line of its header begins.
_NAMES: Final = (
    rb"(?:from|to|cc|bcc|subject|date|message-id|received|return-path|delivered-to|envelope-to|reply-to|sender"
    rb"|mime-version|content-[a-z-]{2,30}|in-reply-to|references|list-[a-z-]{2,30}|dkim-signature|x-[a-z0-9-]{1,60}"
    rb"|authentication-results)[ \t]*+:"
)
_FIRST_FIELD: Final = re.compile(_NAMES, re.I)
# The second field of a message, below the first one with its folding.
_SECOND_FIELD: Final = re.compile(rb"[^\n]*+\n(?:[ \t][^\n]*+\n)*+(?=" + _NAMES + rb")", re.I)
# Octets above the header in which it must begin.
_MAX_ABOVE: Final = 10_000
_ABOVE: Final = re.compile(
    # Marks, blanks and the separator of MMDF.
    rb"(?:(?:\xef\xbb\xbf|[\x00\x01\x0b\x0c\x1a])++(?:[ \t]*+\r*+\n)?|[ \t]*+\r*+\n"
    # The line of an mbox file.
    rb"|>?From [^\r\n:][^\r\n]*+\r*+\n"
    # What a program said to a server, or the server to it, before the message.
    rb"|(?:\+OK|RETR [0-9]|TOP [0-9]|\* [0-9]++ FETCH|[A-Z0-9]{1,8} FETCH|MAIL FROM:|RCPT TO:|[235][0-9]{2}[ -]"
    # Not the field "Data:".
    rb"|(?:HELO|EHLO|LHLO|DATA)(?![!-9;-~]*+[ \t]*+:))[^\r\n]*+\r*+\n)++",
    re.I,
)
_ONLY_MBOX: Final = re.compile(rb"(?:>?From [^\n]*+\n)++")
_BLANK_LINE: Final = re.compile(rb"\n\r*+\n")
# A carriage return alone, in front of a field.
_RETURN: Final = re.compile(rb"\r(?!\n)(?=" + _NAMES + rb")", re.I)
_LONE: Final = re.compile(rb"\r(?!\n)")
_REVERSED: Final = re.compile(rb"\n\r(?!\n)")
_AUTHOR: Final = re.compile(rb"(?:\A|\n)from[ \t]*+:", re.I)
_ANY_AUTHOR: Final = re.compile(rb"(?:\A|[\r\n])from[ \t]*+:", re.I)
_BOUNDARY: Final = re.compile(rb"""\bboundary[ \t]*+=[ \t]*+["']?([^"'\r\n;]{1,190})""", re.I)
# Octets from which UTF-16 and UTF-32 are recognized, and the fewest.
_SAMPLE: Final = 64
_FEWEST: Final = 16
# For each form: its decoder, the octets of a character, and the position of a letter's octet among them.
_UNICODE_FORMS: Final = (
    ("utf-32-le", codecs.utf_32_le_decode, 4, 0),
    ("utf-32-be", codecs.utf_32_be_decode, 4, 3),
    ("utf-16-le", codecs.utf_16_le_decode, 2, 0),
    ("utf-16-be", codecs.utf_16_be_decode, 2, 1),
)
_MAX_QUOTED: Final = 100


class UsualForm(NamedTuple):
    """A message in octets, where its header begins, and what had to be guessed.

    @ivar charset: the Unicode form that the whole message was in, which is UTF-8 now; "" if it was in none.
    """

    octets: bytes
    start: int = 0
    defects: tuple[str, ...] = ()
    charset: str = ""


def usual_form(octets: bytes) -> UsualForm:
    """Return a message with its header section in octets and with line feeds at its line ends.

    A message that has both is returned as it is.
    """
    octets, charset = _as_utf8(octets)
    octets, defects = _with_line_feeds(octets)
    if charset:
        defects.insert(0, f"the whole message is in {charset.upper()[:6]}, and is read so")
    start, above = header_start(octets, 0)
    return UsualForm(octets, start, (*defects, *above), charset)


def header_start(octets: bytes, at: int) -> tuple[int, list[str]]:
    """Return where the header section of a message at a position really begins, and the defects."""
    if _FIRST_FIELD.match(octets, at):
        return at, []
    found = _ABOVE.match(octets, at, at + _MAX_ABOVE)
    if found is None or not _FIRST_FIELD.match(octets, found.end()):
        return at, []
    lines = found[0].strip(b"\0\1\x0b\x0c\x1a\xef\xbb\xbf \t\r\n")
    if not lines and b"\n" in found[0] and not _SECOND_FIELD.match(octets, found.end()):
        # One line that looks like a field can be the text of a message without a header.
        return at, []
    if _ONLY_MBOX.fullmatch(found[0]):
        # Every mbox file has it.
        return found.end(), []
    if not lines:
        return found.end(), ["blank lines or marks stand above the header"]
    quoted = lines[:_MAX_QUOTED].decode("ascii", "replace")
    return found.end(), [f"lines that are not part of the message stand above its header: {quoted!r}"]


def _as_utf8(octets: bytes) -> tuple[bytes, str]:
    """Return a message in UTF-16 or UTF-32 as UTF-8, and the name of the form that it was in."""
    sample = octets[:_SAMPLE]
    if b"\0" not in sample or len(sample) < _FEWEST:
        return octets, ""
    for name, decoder, width, letter in _UNICODE_FORMS:
        columns = [sample[width + at :: width] for at in range(width)]
        if b"\0" not in columns.pop(letter) and all(one.count(0) * 4 >= len(one) * 3 for one in columns):
            text, _ = decoder(octets, "replace", True)
            return text.removeprefix("\ufeff").encode("utf-8", "replace"), name
    return octets, ""


def _with_line_feeds(octets: bytes) -> tuple[bytes, list[str]]:
    """Return a message with line feeds in place of the carriage returns that end lines alone, and the defects."""
    blank = _BLANK_LINE.search(octets)
    end = blank.start() if blank is not None else len(octets)
    head = octets[:end]
    defects: list[str] = []
    if blank is not None and b"\0" in head:
        head = head.replace(b"\0", b"")
        defects.append("NUL octets in the header are ignored")
    if head.count(b"\r") != head.count(b"\r\n") and _RETURN.search(head):
        author, first = _AUTHOR.search(head), _ANY_AUTHOR.search(head)
        if author is not None and first is not None and first.start() < author.start():
            # Programs on the way have seen the other author.
            return octets, ["carriage returns in the header hide another From: they are not read as line ends"]
        head = _line_feeds(head)
        defects.append("lines end with a carriage return alone")
    elif not defects and (blank is None or octets.find(b"\n", blank.end()) >= 0):
        # Of the body, only the first line is looked at in most messages.
        return octets, []
    body = octets[end:]
    if (found := _BOUNDARY.search(head)) is not None and _has_odd_boundary(body, found[1]):
        body = _line_feeds(body)
        defects.append("lines of the body end with a carriage return alone")
    return (head + body, defects) if defects else (octets, [])


def _has_odd_boundary(body: bytes, boundary: bytes) -> bool:
    """Whether a boundary stands in lines that do not end with a line feed, and in no others."""
    line = rb"--" + re.escape(boundary) + rb"[^\r\n]*+"
    return b"\r--" + boundary in body and re.search(rb"\n" + line + rb"\r?\n(?!\r)", body) is None


def _line_feeds(octets: bytes) -> bytes:
    return _LONE.sub(b"\n", _REVERSED.sub(b"\r\n", octets))
