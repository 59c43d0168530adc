"""Values of requests and answers: how each kind is written in JSON, and which values are allowed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

from emailsys.interfaces.operators import QueueChange, RowState, Scope
from emailsys.mail.address import Address, is_mail_domain
from emailsys.mail.next_hop import TLSPolicy

_MAX_OCTETS: Final = 1 << 50
_MAX_PORT: Final = 65535
_MAX_QUEUE_ROWS: Final = 100_000
_MAX_LIVES: Final = 1_000
_MAX_ROW_ID: Final = (1 << 63) - 1
# Seconds; 30,000 years.
_MAX_SECONDS: Final = 1e12

_HEX_DIGITS: Final = frozenset("0123456789abcdef")
_ID_DIGITS: Final = 12
_DIGEST_DIGITS: Final = 64
_MAX_LABEL: Final = 100


class MalformedRequest(Exception):
    """The request is not valid. The message names the field, the value that was found and what is allowed."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Form:
    """The JSON form of a field, and the check of its value.

    `decode` turns the JSON value into the field's value and raises ValueError or TypeError if it cannot; `encode` is
    its inverse. The value of a secret field never appears in an error message.
    """

    allowed: str
    is_valid: Callable[[Any], bool]
    decode: Callable[[Any], Any] = _same
    encode: Callable[[Any], Any] = _same
    is_secret: bool = False

    def error(self, field: str, value: object) -> MalformedRequest:
        """Describe a value that is not allowed."""
        found = "something else" if self.is_secret else repr(value)
        return MalformedRequest(f"{field}: found {found}; allowed: {self.allowed}")

    def or_null(self) -> Form:
        """Return the form of a field that may also be null."""
        return Form(
            f"{self.allowed} or null",
            lambda value: value is None or self.is_valid(value),
            lambda value: None if value is None else self.decode(value),
            lambda value: None if value is None else self.encode(value),
            self.is_secret,
        )


def _decode_address(value: Any) -> Address:
    if not _is_pair(value):
        raise ValueError
    return Address(*value)


def _decode_addresses(value: Any) -> tuple[Address, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_decode_address, value))


def _decode_list(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(value)


def _decode_pairs(value: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(_decode_list, _decode_list(value)))


def _encode_address(address: Address) -> list[str]:
    return [address.local, address.domain]


def _encode_addresses(addresses: Sequence[Address]) -> list[list[str]]:
    return list(map(_encode_address, addresses))


def _encode_pairs(pairs: Sequence[Sequence[str]]) -> list[list[str]]:
    return list(map(list, pairs))


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, Address) and bool(value.domain)


def _is_address(value: object) -> bool:
    return isinstance(value, Address) and bool(value.local) and bool(value.domain)


def _is_address_list(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_address, value))


def _is_sender_list(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(item, Address) and (bool(item.domain) or not item.local) for item in value
    )


def _is_credentials(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(len(pair) == 2 and all(isinstance(part, str) and part for part in pair) for pair in value)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MAX_SECONDS


def _is_hex(value: str, digits: int) -> bool:
    return len(value) == digits and set(value) <= _HEX_DIGITS


def _is_cursor(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def _count(maximum: int, minimum: int = 0) -> Form:
    return Form(
        f"a whole number from {minimum} to {maximum}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum,
    )


def _choice(kind: type[enum.Enum]) -> Form:
    allowed = ", ".join(str(member.value) for member in kind)
    return Form(allowed, lambda value: isinstance(value, kind), kind, lambda member: member.value)


def _rows(allowed: str, *columns: Form) -> Form:
    """Return the form of a list of rows that have these columns."""

    def is_valid(value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and bool(value)
            and all(
                isinstance(row, tuple)
                and len(row) == len(columns)
                and all(column.is_valid(cell) for column, cell in zip(columns, row, strict=True))
                for row in value
            )
        )

    def decode(value: Any) -> tuple[tuple[Any, ...], ...]:
        return tuple(
            tuple(column.decode(cell) for column, cell in zip(columns, _decode_list(row), strict=True))
            for row in _decode_list(value)
        )

    def encode(value: Any) -> list[list[Any]]:
        return [[column.encode(cell) for column, cell in zip(columns, row, strict=True)] for row in value]

    return Form(allowed, is_valid, decode, encode, any(column.is_secret for column in columns))


_TEXT: Final = Form("a string", _is_text)
_DOMAIN: Final = Form(
    "a domain name, such as example.org", lambda value: isinstance(value, str) and is_mail_domain(value)
)
_ROUTE_DOMAIN: Final = Form(
    'a domain name, such as example.org, or ""',
    lambda value: isinstance(value, str) and (not value or is_mail_domain(value)),
)
_PAIR: Final = "a pair of local part and domain"
_ADDRESS: Final = Form(_PAIR, _is_address, _decode_address, _encode_address)
_ADDRESSES: Final = Form(
    "pairs of local part and domain, at least one", _is_address_list, _decode_addresses, _encode_addresses
)
_SENDERS: Final = Form("pairs of local part and domain", _is_sender_list, _decode_addresses, _encode_addresses)
_CREDENTIALS: Final = Form(
    "pairs of scheme and stored secret", _is_credentials, _decode_pairs, _encode_pairs, is_secret=True
)

Text: TypeAlias = Annotated[str, Form("a string that is not empty", lambda value: _is_text(value) and bool(value))]
AnyText: TypeAlias = Annotated[str, _TEXT]
SecretText: TypeAlias = Annotated[str, Form("a string", _is_text, is_secret=True)]
TextOrNone: TypeAlias = Annotated[str | None, _TEXT.or_null()]
Texts: TypeAlias = Annotated[
    tuple[str, ...],
    Form("a list of strings", lambda value: isinstance(value, tuple) and all(map(_is_text, value)), _decode_list, list),
]
DomainName: TypeAlias = Annotated[str, _DOMAIN]
#: The domain of a route, "" for every domain.
RouteDomain: TypeAlias = Annotated[str, _ROUTE_DOMAIN]
MailAddress: TypeAlias = Annotated[Address, _ADDRESS]
MailAddressOrNone: TypeAlias = Annotated[Address | None, _ADDRESS.or_null()]
MailAddresses: TypeAlias = Annotated[tuple[Address, ...], _ADDRESSES]
MailAddressesOrNone: TypeAlias = Annotated[tuple[Address, ...] | None, _ADDRESSES.or_null()]
#: The name of an alias; an empty local part is the catch-all of the domain.
AliasName: TypeAlias = Annotated[Address, Form(_PAIR, _is_name, _decode_address, _encode_address)]
#: Addresses of delegated senders; an empty local part is the whole domain, and two empty parts are all addresses.
Senders: TypeAlias = Annotated[tuple[Address, ...], _SENDERS]
#: What is stored for a password; the password itself never crosses the socket.
Credentials: TypeAlias = Annotated[Sequence[tuple[str, str]], _CREDENTIALS]
DomainRows: TypeAlias = Annotated[
    tuple[tuple[str, Address], ...],
    _rows("pairs of a domain name and its postmaster, at least one", _DOMAIN, _ADDRESS),
]
UserRows: TypeAlias = Annotated[
    tuple[tuple[Address, Sequence[tuple[str, str]]], ...],
    _rows("pairs of an address and its credentials, at least one", _ADDRESS, _CREDENTIALS),
]
Flag: TypeAlias = Annotated[bool, Form("true or false", lambda value: isinstance(value, bool))]
OctetsOrNone: TypeAlias = Annotated[int | None, _count(_MAX_OCTETS).or_null()]
# 0 for that of the protocol.
Port: TypeAlias = Annotated[int, _count(_MAX_PORT)]
RowLimit: TypeAlias = Annotated[int, _count(_MAX_QUEUE_ROWS)]
RowId: TypeAlias = Annotated[int, _count(_MAX_ROW_ID)]
LifeLimit: TypeAlias = Annotated[int, _count(_MAX_LIVES)]
Seconds: TypeAlias = Annotated[float, Form("a number from 0", _is_number)]
#: The cursor of an earlier answer, None for the first part.
Cursor: TypeAlias = Annotated[str | None, Form("the cursor of an earlier answer", _is_cursor).or_null()]
Policy: TypeAlias = Annotated[TLSPolicy, _choice(TLSPolicy)]
State: TypeAlias = Annotated[RowState | None, _choice(RowState).or_null()]
Change: TypeAlias = Annotated[QueueChange, _choice(QueueChange)]


Scopes: TypeAlias = Annotated[
    frozenset[Scope],
    Form(
        f"a list of {', '.join(scope.value for scope in Scope)}, at least one",
        lambda value: isinstance(value, frozenset) and bool(value) and all(isinstance(scope, Scope) for scope in value),
        lambda value: frozenset(map(Scope, _decode_list(value))),
        lambda value: sorted(scope.value for scope in value),
    ),
]
TokenId: TypeAlias = Annotated[
    str,
    Form("the id of a token: 12 hexadecimal digits", lambda value: _is_text(value) and _is_hex(value, _ID_DIGITS)),
]
#: What is stored for a token; its secret never crosses the socket.
TokenDigest: TypeAlias = Annotated[
    str,
    Form("64 hexadecimal digits", lambda value: _is_text(value) and _is_hex(value, _DIGEST_DIGITS), is_secret=True),
]
Label: TypeAlias = Annotated[
    str,
    Form(
        f"a text of at most {_MAX_LABEL} characters on one line",
        lambda value: isinstance(value, str) and len(value) <= _MAX_LABEL and (not value or value.isprintable()),
    ),
]


def time_field(moment: datetime | None) -> str | None:
    """Return a time as answers carry it: UTC, to the second."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
