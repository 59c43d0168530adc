"""The fields of a request at the control socket, each taken once and checked; and how answers carry values."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from emailsys.mail.address import Address, is_mail_domain

E = TypeVar("E", bound=enum.Enum)


class MalformedRequest(Exception):
    """The request is none; the message names the field, what was found and what is allowed."""


class Fields:
    """The fields of a request, each taken once; what is left is an error."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._left = dict(request)

    def _take(self, name: str, allowed: str, fits: Callable[[Any], bool], secret: bool = False) -> Any:
        value = self._left.pop(name, None)
        if not fits(value):
            found = "something else" if secret else repr(value)
            raise MalformedRequest(f"{name}: found {found}; allowed: {allowed}")
        return value

    def text(self, name: str) -> str:
        """A string that is not empty."""
        value: str = self._take(name, "a string", lambda value: isinstance(value, str) and bool(value))
        return value

    def domain(self, name: str) -> str:
        """A domain name; an address literal is none."""
        value: str = self._take(
            name, "a domain name, such as example.org", lambda value: isinstance(value, str) and is_mail_domain(value)
        )
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or null."""
        value: str | None = self._take(name, "a string or null", lambda value: value is None or isinstance(value, str))
        return value

    def flag(self, name: str) -> bool:
        """true or false."""
        value: bool = self._take(name, "true or false", lambda value: isinstance(value, bool))
        return value

    def address(self, name: str) -> Address:
        """A pair of local part and domain."""
        local, domain = self._take(name, "a pair of local part and domain", _is_pair)
        return Address(local, domain)

    def credentials(self, name: str) -> Sequence[tuple[str, str]]:
        """Pairs of scheme and stored secret; the password itself never comes here."""
        pairs = self._take(
            name,
            "pairs of scheme and stored secret",
            lambda value: isinstance(value, list) and bool(value) and all(_is_pair(pair) for pair in value),
            secret=True,
        )
        return [(scheme, secret) for scheme, secret in pairs]

    def name_or_catch_all(self, name: str) -> Address:
        """A pair of local part and domain; an empty local part is the catch-all."""
        local, domain = self._take(
            name,
            "a pair of local part and domain",
            lambda value: (
                isinstance(value, list)
                and len(value) == 2
                and all(isinstance(part, str) for part in value)
                and bool(value[1])
            ),
        )
        return Address(local, domain)

    def addresses(self, name: str) -> Sequence[Address]:
        """Pairs of local part and domain, one at least."""
        pairs = self._take(
            name,
            "pairs of local part and domain",
            lambda value: isinstance(value, list) and bool(value) and all(_is_pair(pair) for pair in value),
        )
        return [Address(local, domain) for local, domain in pairs]

    def addresses_or_none(self, name: str) -> Sequence[Address] | None:
        """Pairs of local part and domain, one at least; or null."""
        if self._left.get(name) is not None:
            return self.addresses(name)
        self._left.pop(name, None)
        return None

    def address_or_none(self, name: str) -> Address | None:
        """A pair of local part and domain, or null."""
        pair = self._take(
            name, "a pair of local part and domain or null", lambda value: value is None or _is_pair(value)
        )
        return None if pair is None else Address(*pair)

    def word(self, name: str) -> str:
        """A string, "" where it is not given."""
        value: str | None = self._take(name, "a string", lambda value: value is None or isinstance(value, str))
        return value or ""

    def secret(self, name: str) -> str:
        """A string that is never told, "" where it is not given."""
        value: str | None = self._take(name, "a string", lambda value: value is None or isinstance(value, str), True)
        return value or ""

    def words(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(
            name,
            "a list of strings",
            lambda value: isinstance(value, list) and all(isinstance(part, str) for part in value),
        )
        return tuple(value)

    def choice(self, name: str, kind: type[E]) -> E:
        """One of an enumeration, by its value."""
        allowed = [str(member.value) for member in kind]
        return kind(self._take(name, ", ".join(allowed), lambda value: value in allowed))

    def choice_or_none(self, name: str, kind: type[E]) -> E | None:
        """One of an enumeration, by its value, or null."""
        allowed = [str(member.value) for member in kind]
        value = self._take(name, f"{', '.join(allowed)} or null", lambda value: value is None or value in allowed)
        return None if value is None else kind(value)

    def count(self, name: str, most: int) -> int:
        """A whole number from 0."""
        value: int = self._take(name, f"a whole number from 0 to {most}", lambda value: _is_count(value, most))
        return value

    def count_or_none(self, name: str, most: int) -> int | None:
        """A whole number from 0, or null."""
        value: int | None = self._take(
            name, f"a whole number from 0 to {most} or null", lambda value: value is None or _is_count(value, most)
        )
        return value

    def seconds(self, name: str) -> float:
        """A number from 0."""
        value: float = self._take(
            name,
            "a number from 0",
            lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12,
        )
        return value

    def close(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise MalformedRequest(f"{min(self._left)}: found a field that this command does not have")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) and part for part in value)


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def time_field(moment: datetime | None) -> str | None:
    """A time as an answer carries it: UTC, to the second."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def address_field(address: Address) -> list[str]:
    """An address as a request carries it."""
    return [address.local, address.domain]
