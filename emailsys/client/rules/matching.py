"""Matching of messages with rules: what the rules of an account do with a message."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.client.accounts.rule_values import ANY_VALUE, Condition, Place, Rule
from emailsys.client.archive.values import Flag
from emailsys.mail.address import Address, AddressSyntaxError, parse
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import Field, read_fields
from emailsys.mail.message.mime import parse as parse_message

# Octets of a header section that are read.
_MAX_HEADER: Final = 256 * 1024
# Characters of a field that are looked at.
_MAX_FIELD: Final = 20_000
_RECIPIENTS: Final = ("to", "cc", "bcc", "delivered-to", "x-original-to")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The effect of rules on a message: those that match, in order. A later folder replaces an earlier one."""

    rules: tuple[Rule, ...] = ()

    @property
    def folder(self) -> str | None:
        """The folder that the message goes to; None if no rule names one."""
        return next((one.folder for one in reversed(self.rules) if one.folder is not None), None)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the message gets."""
        return tuple(sorted({tag for one in self.rules for tag in one.tags}))

    @property
    def flags(self) -> Flag:
        """The flags that the message gets."""
        flags = Flag.NONE
        for one in self.rules:
            flags |= (Flag.FLAGGED if one.flag else Flag.NONE) | (Flag.SEEN if one.read else Flag.NONE)
        return flags


def verdict(rules: Sequence[Rule], octets: bytes) -> Verdict:
    """Return what the rules do with a message. The header section and the size decide, never the text."""
    fields = _fields(octets)
    found: list[Rule] = []
    for rule in rules:
        if _is_met(rule, fields, len(octets)):
            found.append(rule)
            if rule.stop:
                break
    return Verdict(tuple(found))


def _fields(octets: bytes) -> Sequence[Field]:
    end = min((at for at in (octets.find(b"\n\n"), octets.find(b"\n\r\n")) if at >= 0), default=len(octets))
    fields = read_fields(octets[: min(end + 2, _MAX_HEADER)])
    # Only the text tells the charset of a header with 8-bit octets that are not UTF-8.
    return parse_message(octets).fields if any(one.charset for one in fields) else fields


def _is_met(rule: Rule, fields: Sequence[Field], octets: int) -> bool:
    if rule.larger is not None and octets <= rule.larger:
        return False
    if rule.smaller is not None and octets >= rule.smaller:
        return False
    return all(_is_fulfilled(one, fields) for one in rule.conditions)


def _is_fulfilled(condition: Condition, fields: Sequence[Field]) -> bool:
    match condition.place:
        case Place.FROM:
            return _names_anybody(condition.patterns, fields, ("from",))
        case Place.TO:
            return _names_anybody(condition.patterns, fields, _RECIPIENTS)
        case Place.SUBJECT:
            return _is_in(condition.patterns, fields, "subject")
        case Place.LIST:
            return _is_in(condition.patterns, fields, "list-id")
        case Place.HEADER:
            return _is_in(condition.patterns, fields, condition.header.lower())


def _is_in(patterns: Sequence[str], fields: Sequence[Field], name: str) -> bool:
    values = [_folded(one.decoded[:_MAX_FIELD]) for one in fields if one.name.lower() == name]
    return any(pattern == ANY_VALUE or _folded(pattern) in value for value in values for pattern in patterns)


def _names_anybody(patterns: Sequence[str], fields: Sequence[Field], names: Sequence[str]) -> bool:
    texts = [one.text[:_MAX_FIELD] for one in fields if one.name.lower() in names]
    people = [one for text in texts for one in read_mailboxes(text)]
    for pattern in patterns:
        wanted = _address(pattern)
        if wanted is not None:
            found = any(one.address.key == wanted.key for one in people)
        elif pattern.startswith("@"):
            # A domain, and those below it.
            domain = _folded(pattern[1:])
            found = any(f".{_folded(one.address.domain)}".endswith(f".{domain}") for one in people)
        else:
            found = any(_folded(pattern) in _folded(f"{one.name} <{one.address}>") for one in people)
        if found:
            return True
    return False


def _address(pattern: str) -> Address | None:
    """Return the address that a pattern is: "bob@example.org" is not in "notbob@example.org"."""
    try:
        return parse(pattern)
    except AddressSyntaxError:
        return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split())).casefold()
