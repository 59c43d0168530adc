"""Surrogate of an internationalized message, for clients that cannot read one (RFC 6858).

Only header sections change: that of the message, of each MIME part, and of messages in it. Text and attachments stay.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from emailsys.mail.address import Address, AddressSyntaxError, domain_key, parse_foreign
from emailsys.mail.message.fields import MAX_STRUCTURED, decode_words, field_text, parse_value
from emailsys.mail.message.header_lines import MAX_BROKEN_LINES, goes_on
from emailsys.mail.message.headers import fields_end, header_end
from emailsys.mail.message.mailboxes import Mailbox, split_mailboxes

# RFC 6858 §2.1: the address in the place of one that the client cannot use. Nobody can have it (RFC 2606).
_INVALID: Final = "invalid@internationalized-address.invalid"
# RFC 5322 §3.6.2, §3.6.3 and §3.6.6.
_ADDRESS_FIELDS: Final = frozenset(
    prefix + name for prefix in ("", "resent-") for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
_TEXT_FIELDS: Final = frozenset({"subject", "comments", "content-description"})
_PARAMETER_FIELDS: Final = frozenset({"content-type", "content-disposition"})
# A field, or a line that is none.
_FIELD: Final = re.compile(
    rb"([!-9;-~]+)[ \t]*:((?:[^\r]++|\r(?!\n)|\r\n[ \t])*+)(?:\r\n)?|(?:[^\r]++|\r(?!\n))*+\r\n|.+", re.DOTALL
)
# A parameter, which may have a semicolon in quotes.
_SEGMENT: Final = re.compile(r';(?:[^;"]|"(?:[^"\\]|\\.)*+"|")*+', re.S)
# An empty line, or a line that may be a boundary, with the two octets before it.
_END_OF_HEAD: Final = re.compile(rb"(?:\A|\r\n)(?:\r\n|--)")
_GLOBAL: Final = re.compile(rb"message/global(?=[\s;]|\Z)", re.IGNORECASE)
# RFC 2047 §2: an encoded word has at most 75 characters.
_WORD_OCTETS: Final = 42
# RFC 2046 §5.1.1: a boundary has at most 70 characters. A longer line that begins with two hyphens is text.
_BOUNDARY_LINE: Final = 256
# Octets of a header section with broken lines, or of that of a part. What follows is taken as text.
_MAX_HEAD: Final = 256 * 1024
# Boundaries in a message, addresses in it, and lines that may be boundaries. A part costs as much as ten lines.
# Addresses over the limit are left out, and parts over it are taken as text, so that no message takes long.
_BOUNDARIES: Final = 100
_ADDRESSES: Final = 1000
_LINES: Final = 10_000
_LINES_OF_PART: Final = 10
_UNENCODED: Final = frozenset({"", "7bit", "8bit", "binary"})


def _words(text: str) -> str:
    """Encode a text as folded encoded words (RFC 2047)."""
    words: list[str] = []
    octets = b""
    for character in [*text, ""]:
        added = character.encode("utf-8", "replace")
        if octets and (not added or len(octets) + len(added) > _WORD_OCTETS):
            words.append(f"=?utf-8?b?{base64.b64encode(octets).decode('ascii')}?=")
            octets = b""
        octets += added
    return "\r\n ".join(words)


def _ascii_address(written: str) -> Address | None:
    """Return an address in ASCII: a domain has such a form (RFC 5891), a local part has none."""
    try:
        address = parse_foreign(written)
    except AddressSyntaxError:
        return None
    if not address.domain.isascii():
        address = Address(address.local, domain_key(address.domain))
    return address if address.is_ascii else None


def _surrogate_mailbox(name: str, written: str) -> str:
    address = _ascii_address(written)
    if address is None:
        return f"{_words(f'{name} {written}'.strip())}\r\n <{_INVALID}>"
    return str(Mailbox(name, address)) if name.isascii() else f"{_words(name)}\r\n <{address}>"


def _surrogate_field(name: str, value: bytes, most: int) -> tuple[bytes, int]:
    """Return a field that has octets above 127 as a client may see it, b"" if it must not see any of it (§2.4).

    @param most: the most addresses.
    @return: also the number of its addresses.
    """
    count = 0
    kind = name.lower()
    text = field_text(value)
    if kind in _TEXT_FIELDS:
        body = _words(decode_words(text))
    elif kind in _ADDRESS_FIELDS:
        pairs = split_mailboxes(text)[:most] if most else []
        count = len(pairs)
        body = ",\r\n ".join(_surrogate_mailbox(*pair) for pair in pairs)
    elif kind in _PARAMETER_FIELDS:
        # RFC 6858 §2.2: a parameter that cannot be presented is removed.
        text = text[:MAX_STRUCTURED]
        kept = [segment.strip() for segment in _SEGMENT.findall(text) if segment.isascii()]
        body = ";\r\n ".join([text.partition(";")[0].strip(), *(segment[1:].strip() for segment in kept)])
    else:
        body = ""
    return f"{name}: {body}\r\n".encode("ascii") if body and body.isascii() else b"", count


def _surrogate_head(head: bytes, most: int) -> tuple[bytes, str, str, bool, int]:
    """Return the header section in ASCII, the media type, its boundary, and whether the body has no encoding.

    @param most: the most addresses in fields that change.
    @return: at last, how many more there may be.
    """
    lines = [(found[1].decode("ascii") if found[1] else "", found[2], found[0]) for found in _FIELD.finditer(head)]
    first = {name.lower(): value for name, value, _ in reversed(lines) if name}
    kind, parameters = parse_value(field_text(first.get("content-type", b"")))
    is_plain = field_text(first.get("content-transfer-encoding", b"")).lower() in _UNENCODED
    out = []
    for name, value, octets in lines:
        if octets.isascii():
            line, count = octets, 0
        elif name:
            line, count = _surrogate_field(name, value, most)
        else:
            line, count = _surrogate_broken_line(octets), 0
        most -= count
        if is_plain and name.lower() == "content-type":
            line = _GLOBAL.sub(b"message/rfc822", line, count=1)
        out.append(line)
    return b"".join(out), kind, parameters.get("boundary", ""), is_plain, most


def _surrogate_broken_line(line: bytes) -> bytes:
    """Return a line that is no field, and that has octets above 127, as encoded words."""
    indent = " " if line[:1] in b" \t" else ""
    return f"{indent}{_words(field_text(line))}\r\n".encode("ascii")


def _message_head_end(held: bytes, start: int, is_last: bool) -> int:
    """Return the end of the header section of a message, -1 if the next piece decides.

    POP3 clients take everything before the empty line for fields, and so does the server that received the message.
    """
    end = header_end(held[start : start + _MAX_HEAD + 2])
    if end is not None:
        return start + end
    if len(held) - start < _MAX_HEAD + 2 and not is_last:
        return -1
    end = fields_end(held, start)
    return end if is_last or held.find(b"\r\n", end) >= 0 else -1


def _part_head_end(held: bytes, start: int, is_last: bool) -> int:
    """Return the end of the header section of a part, -1 if the next piece decides.

    The text of a part may begin without an empty line. A broken line is part of the header only if it goes on.
    """
    head = held[start : start + _MAX_HEAD]
    if _END_OF_HEAD.search(head) is None and len(head) < _MAX_HEAD and not is_last:
        return -1
    end = fields_end(head)
    broken = 0
    while (
        end < len(head)
        and broken < MAX_BROKEN_LINES
        and not head.startswith((b"\r\n", b"--"), end)
        and (line_end := head.find(b"\r\n", end) + 2) > 1
        and goes_on(head, line_end)
    ):
        broken += 1
        end = max(line_end, fields_end(head, line_end))
    return start + end


def _dashes(octets: bytes, start: int) -> int:
    """Return where the next line begins that could be a boundary, -1 if there is none."""
    found = octets.find(b"\r\n--", start)
    return -1 if found < 0 else found + 2


class Surrogate:
    """Changes a message that arrives in pieces, which may be cut anywhere. Its lines end with CRLF."""

    def __init__(self) -> None:
        self._held = b""
        self._in_head = True
        self._is_part = False
        # Whether the octets that are held begin a line.
        self._begins_line = True
        self._boundaries: set[bytes] = set()
        self._lines_left = _LINES
        self._addresses_left = _ADDRESSES

    def take(self, piece: bytes, is_last: bool = False) -> bytes:
        """Return the octets that are certain after the next piece.

        @param is_last: whether the message ends with the piece. Nothing is held back then.
        """
        held = self._held + piece
        out: list[bytes] = []
        at, goes_on = 0, True
        while goes_on:
            step = self._take_head if self._in_head else self._take_body
            at, goes_on = step(held, at, out, is_last)
        self._held = held[at:]
        return b"".join(out)

    def _take_head(self, held: bytes, start: int, out: list[bytes], is_last: bool) -> tuple[int, bool]:
        """Send the header section if all of it is there. Return where the rest begins, and whether to go on."""
        end = (_part_head_end if self._is_part else _message_head_end)(held, start, is_last)
        if end < 0:
            return start, False
        fields, kind, boundary, is_plain, self._addresses_left = _surrogate_head(held[start:end], self._addresses_left)
        out.append(fields)
        if boundary and kind.startswith("multipart/") and len(self._boundaries) < _BOUNDARIES:
            self._boundaries.add(boundary.encode("utf-8", "surrogateescape"))
        has_empty_line = held.startswith(b"\r\n", end)
        if has_empty_line and is_plain and kind in ("message/rfc822", "message/global"):
            # The header section of the message in it follows.
            out.append(b"\r\n")
            self._is_part = True
            return end + 2, True
        self._in_head = False
        self._begins_line = not has_empty_line
        return end, True

    def _take_body(self, held: bytes, start: int, out: list[bytes], is_last: bool) -> tuple[int, bool]:
        """Send the text up to the next part. Return where the rest begins, and whether a header section follows."""
        line = start if self._begins_line else _dashes(held, start)
        while self._boundaries and line >= 0 and self._lines_left > 0:
            self._lines_left -= 1
            end = held.find(b"\r\n", line, line + _BOUNDARY_LINE)
            if end < 0 and len(held) < line + _BOUNDARY_LINE and not is_last:
                # The line may go on in the next piece.
                out.append(held[start:line])
                self._begins_line = True
                return line, False
            if end >= 0 and held[line:end].rstrip(b" \t")[2:] in self._boundaries and held.startswith(b"--", line):
                out.append(held[start : end + 2])
                self._in_head = self._is_part = True
                self._lines_left -= _LINES_OF_PART
                return end + 2, True
            line = _dashes(held, line)
        # The beginning of a boundary may stand at the end.
        rest = len(held) if is_last or not self._boundaries else max(start, len(held) - 3)
        out.append(held[start:rest])
        self._begins_line = self._begins_line and rest == start
        return rest, False
