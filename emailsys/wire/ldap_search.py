"""Search of LDAP for the names of entries, without I/O: the request, and the server's answers (RFC 4511 §4.5)."""

from __future__ import annotations

from typing import Final, NamedTuple

from emailsys.wire.ldap_values import (
    BOOLEAN,
    ENUMERATED,
    INTEGER,
    OCTETS,
    SEQUENCE,
    LDAPError,
    message,
    part,
    taken,
    value,
)

_REQUEST: Final = 0x63
_ENTRY, _DONE, _REFERENCE = 0x64, 0x65, 0x73
_EQUALITY: Final = 0xA3
_WHOLE_SUBTREE: Final = b"\x02"
_ZERO: Final = b"\x00"
# At most two entries: a second one shows that the name is not unique.
_SIZE_LIMIT: Final = b"\x02"
# RFC 4511 §4.5.1.8: no attributes.
_NO_ATTRIBUTES: Final = b"1.1"
# Octets of all answers. A server that obeys the limit sends two names, and perhaps references to other servers.
_MAX_OCTETS: Final = 262_144
# All answers are read again when more octets have come.
_MAX_ANSWERS: Final = 100

#: sizeLimitExceeded: there are more entries than the request allows.
TOO_MANY: Final = 4


class Found(NamedTuple):
    """The names of the entries, and the code and the text at the end."""

    names: tuple[bytes, ...]
    code: int
    text: str


def search_request(number: int, base: bytes, attribute: bytes, wanted: bytes) -> bytes:
    """Return a search below a base for entries whose attribute has a value.

    The value needs no escapes: it is no text of a filter.
    """
    equal = value(_EQUALITY, value(OCTETS, attribute) + value(OCTETS, wanted))
    search = (
        value(OCTETS, base)
        + value(ENUMERATED, _WHOLE_SUBTREE)
        + value(ENUMERATED, _ZERO)
        + value(INTEGER, _SIZE_LIMIT)
        + value(INTEGER, _ZERO)
        + value(BOOLEAN, _ZERO)
        + equal
        + value(SEQUENCE, value(OCTETS, _NO_ATTRIBUTES))
    )
    return message(number, value(_REQUEST, search))


def read_found(octets: bytes, number: int) -> Found | None:
    """Return the answers to a search, or None while they are incomplete.

    @raise LDAPError: they are no answers, or those to another request, or too many.
    """
    is_endless = len(octets) > _MAX_OCTETS
    names: list[bytes] = []
    count = 0
    while not is_endless and (first := taken(octets, SEQUENCE)) is not None:
        content, octets = first
        count += 1
        is_endless = count > _MAX_ANSWERS
        answered, operation = part(content, INTEGER)
        if int.from_bytes(answered, "big") != number:
            raise LDAPError("it answers another request")
        kind = operation[0] if operation else 0
        if kind == _ENTRY:
            names.append(part(part(operation, _ENTRY)[0], OCTETS)[0])
        elif kind == _DONE:
            if octets:
                raise LDAPError("octets follow the answer")
            return _done(tuple(names), operation)
        elif kind != _REFERENCE:
            raise LDAPError("it is no answer to a search")
    if is_endless:
        raise LDAPError("the answers to the search have no end")
    return None


def _done(names: tuple[bytes, ...], operation: bytes) -> Found:
    code, rest = part(part(operation, _DONE)[0], ENUMERATED)
    _, rest = part(rest, OCTETS)
    text, _ = part(rest, OCTETS)
    return Found(names, int.from_bytes(code, "big"), text.decode("utf-8", "replace"))
