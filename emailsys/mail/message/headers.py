"""Read the header section of a message, and do to it the little that a mail server may."""

from __future__ import annotations

import re
from typing import Final

# RFC 5322 §2.2: a field's name is printable ASCII without colon; a line that begins with white space continues it.
_FIELD_LINE: Final = re.compile(rb"(?:[!-9;-~]+[ \t]*:|[ \t])")
# RFC 5322 §3.6.4, folding before the value as some do; what is longer than a line of that standard is nobody's.
_MESSAGE_ID: Final = re.compile(
    rb"^message-id[ \t]*:(?:[ \t]|\r\n[ \t])*([!-~]{1,998})(?:[ \t]|\r\n[ \t])*\r\n", re.IGNORECASE | re.MULTILINE
)
_RESULTS: Final = re.compile(rb"^authentication-results[ \t]*:((?:[^\r]|\r\n[ \t])*)\r\n", re.IGNORECASE | re.MULTILINE)


def header_end(octets: bytes, start: int = 0) -> int | None:
    """Where the header section ends: before its first empty line (RFC 5322 §2.1). None if there is none yet.

    @param octets: the beginning of a message.
    @param start: up to where it is known that no empty line begins.
    """
    if octets.startswith(b"\r\n"):
        return 0
    empty = octets.find(b"\r\n\r\n", max(start - 3, 0))
    return None if empty < 0 else empty + 2


def fields_end(octets: bytes) -> int:
    """Where the header section of a message without empty line ends: before its first line that is no field."""
    if octets[:1] in (b" ", b"\t"):
        return 0
    at = 0
    while _FIELD_LINE.match(octets, at):
        end = octets.find(b"\r\n", at)
        if end < 0:
            return len(octets)
        at = end + 2
    return at


def _lines_lowered(head: bytes) -> bytes:
    return b"\n" + head.lower()


def _has_field(lowered: bytes, name: bytes) -> bool:
    return b"\n" + name + b":" in lowered or re.search(rb"\n" + name + rb"[ \t]+:", lowered) is not None


def message_id_of(head: bytes) -> str:
    """The value of the Message-ID field, with its angle brackets; "" where there is none, or none that is printable."""
    # To look for every line's beginning with letters of either case costs more than all else that is done to a head.
    begins = head.lower().find(b"message-id")
    found = None if begins < 0 else _MESSAGE_ID.search(head, begins)
    return found[1].decode("ascii") if found is not None else ""


def count_received(head: bytes) -> int:
    """How many Received fields there are: the hops of the message so far (RFC 5321 §6.3)."""
    lowered = _lines_lowered(head)
    count = lowered.count(b"\nreceived:")
    if b"\nreceived " in lowered or b"\nreceived\t" in lowered:
        count += len(re.findall(rb"\nreceived[ \t]+:", lowered))
    return count


def missing_fields(head: bytes, date: str, message_id: str) -> bytes:
    """The Date and Message-ID fields that a submitted message lacks (RFC 6409 §8.2, §8.3), to be put before it.

    @param date: a date-time of RFC 5322 §3.3.
    @param message_id: without angle brackets.
    """
    lowered = _lines_lowered(head)
    fields = b""
    if not _has_field(lowered, b"date"):
        fields += f"Date: {date}\r\n".encode()
    if not _has_field(lowered, b"message-id"):
        fields += f"Message-ID: <{message_id}>\r\n".encode()
    return fields


def _without_comments(value: bytes) -> bytes:
    """A field's value with comments (RFC 5322 §3.2.2) and folding as blanks; quoted strings stay."""
    kept = bytearray()
    depth = 0
    quoted = False
    octets = iter(value)
    for octet in octets:
        if octet == 0x5C:  # backslash: the next octet means itself
            following = next(octets, None)
            if depth == 0 and following is not None:
                kept.append(following)
        elif quoted:
            quoted = octet != 0x22
            kept.append(octet)
        elif octet == 0x28:
            depth += 1
            kept.append(0x20)
        elif octet == 0x29 and depth:
            depth -= 1
        elif depth == 0:
            quoted = octet == 0x22
            kept.append(octet)
    return bytes(kept)


def _authserv_id(value: bytes) -> str:
    """Whose results an Authentication-Results field says it has (RFC 8601 §2.2)."""
    plain = _without_comments(value).strip()
    name = plain[1:].partition(b'"')[0] if plain.startswith(b'"') else re.split(rb"[\s;]", plain, maxsplit=1)[0]
    return name.decode("utf-8", "replace").lower().rstrip(".")


def without_results_of(head: bytes, authserv_id: str) -> bytes:
    """The head without Authentication-Results fields that claim to be this system's (RFC 8601 §5).

    Only we may say what we found; a field of another system stays.
    """
    if b"\nauthentication-results" not in _lines_lowered(head):
        return head
    ours = authserv_id.lower().rstrip(".")
    return _RESULTS.sub(lambda field: b"" if _authserv_id(field[1]) == ours else field[0], head)
