"""Header sections: find their end, count hops, and make the few changes that a mail server may make."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

# RFC 5322 §2.2: a field name is printable ASCII without colon. A line that begins with white space continues a field.
_FIELD_LINE: Final = re.compile(rb"(?:[!-9;-~]+[ \t]*:|[ \t])")
# RFC 5322 §3.6.4, with the folding before the value that some programs add. A longer value is ignored.
_MESSAGE_ID: Final = re.compile(
    rb"^message-id[ \t]*+:(?:[ \t]++|\r\n[ \t])*+([!-~]{1,998})(?:[ \t]++|\r\n[ \t])*\r\n", re.IGNORECASE | re.MULTILINE
)
# Fields that only the system writes that they name; Return-Path only the last one.
# These expressions find a line in lower case faster than `find` does, which stops at each line end.
_RECEIVED: Final = re.compile(rb"\nreceived[ \t]*:")
_MESSAGE_ID_BEGINS: Final = re.compile(rb"\nmessage-id")
# Octets of a claim in which its authserv-id must end. Real ones stand at the beginning.
_MAX_AUTHSERV_ID: Final = 2048
_CLAIM_BEGINS: Final = re.compile(rb"\n(?:a(?:rc-a)?uthentication-results|re(?:ceived-spf|turn-path))")
_CLAIM: Final = re.compile(
    rb"^((?:arc-)?authentication-results|received-spf|return-path)[ \t]*+:((?:[^\r]++|\r\n[ \t])*+)\r\n",
    re.IGNORECASE | re.MULTILINE,
)
# RFC 8617 §4.1.1: the instance comes before the authserv-id.
_ARC_INSTANCE: Final = re.compile(rb"\s*i\s*=\s*\d{1,3}\s*;", re.IGNORECASE)
# RFC 7208 §9.1: the receiver, and the name at the beginning of the comment.
_SPF_RECEIVER: Final = re.compile(rb"[\s;]receiver\s*=\s*\"?([^\s;\"]+)|\(\s*([^\s:()]+)\s*:", re.IGNORECASE)


def header_end(octets: bytes, start: int = 0) -> int | None:
    """Return the end of the header section: the position of its first empty line (RFC 5322 §2.1), None if missing.

    @param octets: the beginning of a message.
    @param start: no empty line begins before this position.
    """
    if octets.startswith(b"\r\n"):
        return 0
    empty = octets.find(b"\r\n\r\n", max(start - 3, 0))
    return None if empty < 0 else empty + 2


def fields_end(octets: bytes, start: int = 0) -> int:
    """Return the end of the header section of a message without an empty line: its first line that is not a field.

    @param start: where the header section begins.
    """
    if octets[start : start + 1] in (b" ", b"\t"):
        return start
    at = start
    while _FIELD_LINE.match(octets, at):
        end = octets.find(b"\r\n", at)
        if end < 0:
            return len(octets)
        at = end + 2
    return at


def _without_comments(value: bytes) -> bytes:
    """Replace comments (RFC 5322 §3.2.2) and folding in a value by blanks. Quoted strings stay."""
    kept = bytearray()
    depth = 0
    quoted = False
    octets = iter(value)
    for octet in octets:
        if octet == 0x5C:  # Backslash: the next octet is literal.
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


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace").lower().rstrip(".")


def _authserv_id(value: bytes) -> str | None:
    """Return the authserv-id of an Authentication-Results field (RFC 8601 §2.2), or of an ARC one.

    None if it is behind so much else that we do not look for it. Those who read the field might.
    """
    plain = _without_comments(value[:_MAX_AUTHSERV_ID]).strip()
    instance = _ARC_INSTANCE.match(plain)
    if instance is not None:
        plain = plain[instance.end() :].strip()
    if plain.startswith(b'"'):
        name, *rest = plain[1:].split(b'"', 1)
    else:
        name, *rest = re.split(rb"[\s;]", plain, maxsplit=1)
    return _text(name) if rest or len(value) <= _MAX_AUTHSERV_ID else None


def _is_claim(name: bytes, value: bytes, ours: str) -> bool:
    """Return whether a field claims to come from the system `ours`."""
    if name == b"return-path":
        return True
    if name == b"received-spf":
        names = (_text(found[1] or found[2]) for found in _SPF_RECEIVER.finditer(value))
        return ours in names
    return _authserv_id(value) in (None, ours)


@lru_cache(maxsize=16)
def _fields(name: bytes) -> re.Pattern[bytes]:
    """Return the expression of all fields with a name, in lower case. Its group is the value with its folding."""
    return re.compile(rb"\n" + re.escape(name) + rb"[ \t]*+:(?=([^\r]*+(?:\r(?!\n(?![ \t]))[^\r]*+)*+))")


class HeaderSection:
    """The header section of a message that arrives. Its lower-case copy is made once and serves every search."""

    __slots__ = ("_lowered", "octets")

    def __init__(self, octets: bytes) -> None:
        """@param octets: whole lines, without the empty line at the end."""
        self.octets = octets
        # A case-insensitive search at each line costs more than all other work on a header section.
        self._lowered = b"\n" + octets.lower()

    def _has_field(self, name: bytes) -> bool:
        lowered = self._lowered
        return b"\n" + name + b":" in lowered or re.search(rb"\n" + name + rb"[ \t]+:", lowered) is not None

    def contains(self, text: bytes) -> bool:
        """Return whether a text is anywhere in the section, in any case.

        @param text: in lower case.
        """
        return text in self._lowered

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields with a name, with their folding.

        @param name: in lower case.
        """
        octets = self.octets
        # The copy has one octet more, at its beginning.
        return [octets[field.start(1) - 1 : field.end(1) - 1] for field in _fields(name).finditer(self._lowered)]

    def message_id(self) -> str:
        """Return the Message-ID with its angle brackets; "" if it is missing or not printable."""
        begins = _MESSAGE_ID_BEGINS.search(self._lowered)
        found = None if begins is None else _MESSAGE_ID.search(self.octets, begins.start())
        return found[1].decode("ascii") if found is not None else ""

    def count_received(self) -> int:
        """Count the Received fields: the hops of the message so far (RFC 5321 §6.3)."""
        return len(_RECEIVED.findall(self._lowered))

    def missing_fields(self, date: str, message_id: str) -> bytes:
        """Return the Date and Message-ID fields that a submitted message lacks (RFC 6409 §8.2, §8.3), to be prepended.

        @param date: a date-time of RFC 5322 §3.3.
        @param message_id: without angle brackets.
        """
        fields = b""
        if not self._has_field(b"date"):
            fields += f"Date: {date}\r\n".encode()
        if not self._has_field(b"message-id"):
            fields += f"Message-ID: <{message_id}>\r\n".encode()
        return fields

    def without_claims_of(self, hostname: str) -> bytes:
        """Remove the fields that only this system may write, and that a client has written.

        These are Return-Path (RFC 5321 §4.4), and the fields with this system's name in Authentication-Results
        (RFC 8601 §5), ARC-Authentication-Results (RFC 8617 §4.1.1) and Received-SPF (RFC 7208 §9.1). Fields of other
        systems stay.

        @param hostname: also the authserv-id.
        """
        # Much cheaper than the whole expression, and nearly always enough.
        if _CLAIM_BEGINS.search(self._lowered) is None:
            return self.octets
        ours = hostname.lower().rstrip(".")
        return _CLAIM.sub(lambda field: b"" if _is_claim(field[1].lower(), field[2], ours) else field[0], self.octets)
