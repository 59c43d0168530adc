"""Simple bind of LDAP, without I/O: the requests of a client, and the server's answer to each (RFC 4511)."""

from __future__ import annotations

from typing import Final, NamedTuple

from emailsys.wire.ldap_values import ENUMERATED, INTEGER, OCTETS, SEQUENCE, LDAPError, message, part, taken, value

# RFC 4511 §4.2, §4.2.2, §4.12.
_BIND_REQUEST: Final = 0x60
_BIND_RESPONSE: Final = 0x61
_EXTENDED_REQUEST: Final = 0x77
_EXTENDED_RESPONSE: Final = 0x78
_SIMPLE: Final = 0x80
_REQUEST_NAME: Final = 0x80
# RFC 4511 §4.14.
_START_TLS: Final = b"1.3.6.1.4.1.1466.20037"
_PLAIN: Final = frozenset(".-_@")

SUCCESS: Final = 0
#: inappropriateAuthentication (the entry has no password), invalidCredentials and noSuchObject (RFC 4511, appendix A):
#: the name or the password is wrong. Any other code says nothing about them.
WRONG: Final = frozenset({32, 48, 49})


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
    bind = value(INTEGER, b"\x03") + value(OCTETS, name) + value(_SIMPLE, password)
    return message(number, value(_BIND_REQUEST, bind))


def start_tls_request(number: int) -> bytes:
    """Return the request to begin TLS."""
    return message(number, value(_EXTENDED_REQUEST, value(_REQUEST_NAME, _START_TLS)))


def read_result(octets: bytes, number: int) -> Result | None:
    """Return the answer to a bind or to StartTLS, or None while it is incomplete.

    @param number: that of the request.
    @raise LDAPError: it is no answer, or one to another request.
    """
    whole = taken(octets, SEQUENCE)
    if whole is None:
        return None
    if whole[1]:
        # What comes in front of TLS must not count as protected by it.
        raise LDAPError("octets follow the answer")
    try:
        answered, rest = part(whole[0], INTEGER)
        operation = rest[:1]
        if operation not in (bytes([_BIND_RESPONSE]), bytes([_EXTENDED_RESPONSE])):
            raise LDAPError("it is no answer to a bind")
        body, _ = part(rest, operation[0])
        code, body = part(body, ENUMERATED)
        _, body = part(body, OCTETS)
        text, _ = part(body, OCTETS)
    except IndexError:
        raise LDAPError("it is cut off") from None
    if int.from_bytes(answered, "big") != number:
        raise LDAPError(f"the server ends the connection: {text.decode('utf-8', 'replace')}")
    return Result(int.from_bytes(code, "big"), text.decode("utf-8", "replace"))


def escaped(text: str) -> str:
    """Return a value for a distinguished name. All but letters, digits and a few others is escaped (RFC 4514 §2.4)."""
    return "".join(
        character if character.isascii() and (character.isalnum() or character in _PLAIN) else _hex(character)
        for character in text
    )


def _hex(character: str) -> str:
    return "".join(f"\\{octet:02x}" for octet in character.encode())
