"""Values of LDAP in BER, without I/O (RFC 4511 §5.1)."""

from __future__ import annotations

from typing import Final

# Octets of a value in an answer. One to a bind has a code and a text for people, an entry without attributes a name.
_MAX_ANSWER: Final = 65_536
#: Tags of X.690.
BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE = 0x01, 0x02, 0x04, 0x0A, 0x30


class LDAPError(ValueError):
    """What a server has sent is no answer to the request."""


def message(number: int, operation: bytes) -> bytes:
    """Return a message with an operation (RFC 4511 §4.1.1)."""
    return value(SEQUENCE, value(INTEGER, bytes([number])) + operation)


def value(tag: int, content: bytes) -> bytes:
    """Return a value in BER, with the shortest length of its definite forms (X.690 §8.1.3)."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def part(octets: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the first value and what follows it.

    @raise LDAPError: it is cut off, or `taken` does not accept it.
    """
    found = taken(octets, tag)
    if found is None:
        raise LDAPError("it is cut off")
    return found


def taken(octets: bytes, tag: int) -> tuple[bytes, bytes] | None:
    """Return the content of the first value and what follows it, or None while the value is incomplete.

    @raise LDAPError: it has another tag, no definite length, or is too long.
    """
    if not octets:
        return None
    if octets[0] != tag:
        raise LDAPError(f"a value has the tag {octets[0]:#04x} in place of {tag:#04x}")
    if len(octets) < 2:
        return None
    length, begin = octets[1], 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4:
            raise LDAPError("a value has no length, or one of more than four octets")
        begin += count
        if len(octets) < begin:
            return None
        length = int.from_bytes(octets[2:begin], "big")
    if length > _MAX_ANSWER:
        raise LDAPError(f"a value has {length} octets, at most {_MAX_ANSWER} are allowed")
    if len(octets) < begin + length:
        return None
    return octets[begin : begin + length], octets[begin + length :]
