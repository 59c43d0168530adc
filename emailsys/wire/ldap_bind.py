"""Simple bind of LDAP, without I/O: the requests of a client, and the server's answer to each (RFC 4511)."""

from __future__ import annotations

from typing import Final, NamedTuple

# Octets of an answer. One to a bind has a code and a text for people.
_MAX_ANSWER: Final = 65_536
# RFC 4511 §4.2, §4.2.2, §4.12.
_BIND_REQUEST: Final = 0x60
_BIND_RESPONSE: Final = 0x61
_EXTENDED_REQUEST: Final = 0x77
_EXTENDED_RESPONSE: Final = 0x78
_INTEGER, _OCTETS, _ENUMERATED, _SEQUENCE = 0x02, 0x04, 0x0A, 0x30
_SIMPLE: Final = 0x80
_REQUEST_NAME: Final = 0x80
# RFC 4511 §4.14.
_START_TLS: Final = b"1.3.6.1.4.1.1466.20037"
_PLAIN: Final = frozenset(".-_@")

SUCCESS: Final = 0
#: inappropriateAuthentication (the entry has no password), invalidCredentials and noSuchObject (RFC 4511, appendix A):
#: the name or the password is wrong. Any other code says nothing about them.
WRONG: Final = frozenset({32, 48, 49})


class LDAPError(ValueError):
    """What a server has sent is no answer to the request."""


class Result(NamedTuple):
    """The code of an answer, and what the server says to people."""

    code: int
    text: str


def bind_request(number: int, name: bytes, password: bytes) -> bytes:
    """Return a simple bind (RFC 4513 §5.1.3).

    @raise ValueError: there is no password. Servers take such a bind for an anonymous one, which succeeds.
    """
    if not password:
        raise ValueError("a bind without a password is an anonymous one")
    bind = _value(_INTEGER, b"\x03") + _value(_OCTETS, name) + _value(_SIMPLE, password)
    return _message(number, _value(_BIND_REQUEST, bind))


def start_tls_request(number: int) -> bytes:
    """Return the request to begin TLS."""
    return _message(number, _value(_EXTENDED_REQUEST, _value(_REQUEST_NAME, _START_TLS)))


def read_result(octets: bytes, number: int) -> Result | None:
    """Return the answer to a bind or to StartTLS, or None while it is incomplete.

    @param number: that of the request.
    @raise LDAPError: it is no answer, or one to another request.
    """
    whole = _taken(octets, _SEQUENCE)
    if whole is None:
        return None
    if whole[1]:
        # What comes in front of TLS must not count as protected by it.
        raise LDAPError("octets follow the answer")
    try:
        answered, rest = _part(whole[0], _INTEGER)
        operation = rest[:1]
        if operation not in (bytes([_BIND_RESPONSE]), bytes([_EXTENDED_RESPONSE])):
            raise LDAPError("it is no answer to a bind")
        body, _ = _part(rest, operation[0])
        code, body = _part(body, _ENUMERATED)
        _, body = _part(body, _OCTETS)
        text, _ = _part(body, _OCTETS)
    except IndexError:
        raise LDAPError("it is cut off") from None
    if int.from_bytes(answered, "big") != number:
        raise LDAPError(f"the server ends the connection: {text.decode('utf-8', 'replace')}")
    return Result(int.from_bytes(code, "big"), text.decode("utf-8", "replace"))


def escaped(value: str) -> str:
    """Return a value for a distinguished name. All but letters, digits and a few others is escaped (RFC 4514 §2.4)."""
    return "".join(
        character if character.isascii() and (character.isalnum() or character in _PLAIN) else _hex(character)
        for character in value
    )


def _hex(character: str) -> str:
    return "".join(f"\\{octet:02x}" for octet in character.encode())


def _message(number: int, operation: bytes) -> bytes:
    return _value(_SEQUENCE, _value(_INTEGER, bytes([number])) + operation)


def _value(tag: int, content: bytes) -> bytes:
    """Return a value in BER, with the shortest length of its definite forms (X.690 §8.1.3)."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _part(octets: bytes, tag: int) -> tuple[bytes, bytes]:
    taken = _taken(octets, tag)
    if taken is None:
        raise LDAPError("it is cut off")
    return taken


def _taken(octets: bytes, tag: int) -> tuple[bytes, bytes] | None:
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
