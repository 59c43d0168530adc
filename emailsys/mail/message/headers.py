"""Header sections: find their end, count hops, and make the few changes that a mail server may make."""

from __future__ import annotations

import re
from typing import Final

# RFC 5322 §2.2: a field name is printable ASCII without colon. A line that begins with white space continues a field.
_FIELD_LINE: Final = re.compile(rb"(?:[!-9;-~]+[ \t]*:|[ \t])")
# RFC 5322 §3.6.4, with the folding before the value that some programs add. A longer value is ignored.
_MESSAGE_ID: Final = re.compile(
    rb"^message-id[ \t]*:(?:[ \t]|\r\n[ \t])*([!-~]{1,998})(?:[ \t]|\r\n[ \t])*\r\n", re.IGNORECASE | re.MULTILINE
)
_COLON: Final = re.compile(rb"[ \t]*:")
# The last line end of a field: white space does not follow.
_FIELD_END: Final = re.compile(rb"\r\n(?![ \t])")
_RESULTS: Final = re.compile(rb"^authentication-results[ \t]*:((?:[^\r]|\r\n[ \t])*)\r\n", re.IGNORECASE | re.MULTILINE)


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


def _authserv_id(value: bytes) -> str:
    """Return the authserv-id of an Authentication-Results field (RFC 8601 §2.2)."""
    plain = _without_comments(value).strip()
    name = plain[1:].partition(b'"')[0] if plain.startswith(b'"') else re.split(rb"[\s;]", plain, maxsplit=1)[0]
    return name.decode("utf-8", "replace").lower().rstrip(".")


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
        lowered, wanted = self._lowered, b"\n" + name
        found = []
        at = lowered.find(wanted)
        while at >= 0:
            at += len(wanted)
            colon = _COLON.match(lowered, at)
            if colon is not None:
                end = _FIELD_END.search(lowered, colon.end())
                # The copy has one octet more, at its beginning.
                found.append(self.octets[colon.end() - 1 : len(self.octets) if end is None else end.start() - 1])
            at = lowered.find(wanted, at)
        return found

    def message_id(self) -> str:
        """Return the Message-ID with its angle brackets; "" if it is missing or not printable."""
        begins = self._lowered.find(b"\nmessage-id")
        found = None if begins < 0 else _MESSAGE_ID.search(self.octets, begins)
        return found[1].decode("ascii") if found is not None else ""

    def count_received(self) -> int:
        """Count the Received fields: the hops of the message so far (RFC 5321 §6.3)."""
        lowered = self._lowered
        count = lowered.count(b"\nreceived:")
        if b"\nreceived " in lowered or b"\nreceived\t" in lowered:
            count += len(re.findall(rb"\nreceived[ \t]+:", lowered))
        return count

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

    def without_results_of(self, authserv_id: str) -> bytes:
        """Remove the Authentication-Results fields that claim to come from this system (RFC 8601 §5).

        Fields of other systems stay.
        """
        if b"\nauthentication-results" not in self._lowered:
            return self.octets
        ours = authserv_id.lower().rstrip(".")
        return _RESULTS.sub(lambda field: b"" if _authserv_id(field[1]) == ours else field[0], self.octets)
