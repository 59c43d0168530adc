"""Identity of a message: whom its header section names as author and sender (RFC 5322 §3.6.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from emailsys.mail.address import Address, AddressSyntaxError, domain_key, parse_foreign
from emailsys.mail.message.fields import field_text, without_comments
from emailsys.mail.message.headers import HeaderSection
from emailsys.mail.message.mailboxes import read_mailboxes

# Nearly all fields: a name without special characters or in quotes, and an address in angle brackets; or an address.
_ONE_MAILBOX: Final = re.compile(
    r'[ \t]*+(?:(?:"[^"\\]*+"|[^"\\<>(),:;@\[\]]*+)[ \t]*<([^<>"\\()\s]++)>|([^<>"\\(),:;\s]++))[ \t]*'
)
# RFC 5322 §3.4, one member of a list: a phrase with an address in angle brackets, or only text; and what ends it.
_MEMBER: Final = re.compile(
    r'((?:"(?:[^"\\]|\\.)*+"|[^"<>,:;])*+)(?:<((?:"(?:[^"\\]|\\.)*+"|[^"<>])*+)>[ \t]*)?([,:;]|\Z)', re.DOTALL
)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
# What a program may take for a domain in a malformed field: all that follows "@" up to blanks and punctuation that no
# domain has.
_CLAIMED: Final = re.compile(r'@[\s"]*+([^\x00-,/:-@\[-^`{-\x9f\s\u2000-\u200b\u200e-\u206f\ufeff]{1,255}+)')
# Octets of a From field whose domains are cached. Longer ones are rare, and 4,096 of them could take 1 GiB.
_MAX_CACHED: Final = 512
# Octets of From fields, and their number, up to which they are parsed: at most 15 ms. In more of them, only the text
# behind each "@" is taken, because a stranger's message must not delay others.
_MAX_PARSED: Final = 4096
_MAX_FIELDS: Final = 16
# Domains with other letters than ASCII that are taken from such a text, half of them from its end. Each takes 20 µs.
_MAX_INTERNATIONAL: Final = 200
# Characters of a list of authors in a submitted message.
_MAX_AUTHORS: Final = 16_384
_REPORT: Final = re.compile(rb"\s*multipart/report\s*(?:;|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Identity:
    """The authors and the sender that a header section names.

    `authors` are the addresses of its From field, and `senders` those of its Sender field: empty if there is no such
    field. They are None if there are several fields of that name, or if different programs would read different
    addresses. `is_report` tells whether the message is a report (multipart/report, RFC 6522).
    """

    authors: tuple[Address, ...] | None
    senders: tuple[Address, ...] | None = ()
    is_report: bool = False


def read_identity(section: HeaderSection) -> Identity:
    """Return the identity of a message."""
    return Identity(
        _addresses_of(section.values(b"from")),
        _addresses_of(section.values(b"sender")),
        section.contains(b"multipart/report") and any(map(_REPORT.match, section.values(b"content-type"))),
    )


def claimed_domains(section: HeaderSection) -> frozenset[str]:
    """Return the domains of all addresses that any program may show as the author, by `domain_key`.

    These are the addresses of all From fields, however malformed.
    """
    values = section.values(b"from")
    if len(values) == 1 and len(values[0]) <= _MAX_CACHED:
        return _cached_domains(values[0])
    if len(values) > _MAX_FIELDS or sum(map(len, values)) > _MAX_PARSED:
        return _searched(field_text(b"\r\n".join(values)))
    return frozenset().union(*(_cached_domains(one) if len(one) <= _MAX_CACHED else _domains(one) for one in values))


def _domains(value: bytes) -> frozenset[str]:
    authors = _addresses_of([value])
    if authors is not None:
        return frozenset(author.key[1] for author in authors)
    return _searched(field_text(value))


def _searched(text: str) -> frozenset[str]:
    """Return the domains in malformed or very long From fields."""
    claimed = dict.fromkeys(found.rstrip(".") for found in _CLAIMED.findall(text.lower()))
    claimed.update((mailbox.address.domain, None) for mailbox in read_mailboxes(text, _MAX_PARSED))
    international = [domain for domain in claimed if not domain.isascii()]
    half = _MAX_INTERNATIONAL // 2
    if len(international) > _MAX_INTERNATIONAL:
        international = international[:half] + international[-half:]
    return frozenset(filter(str.isascii, map(str.lower, claimed))) | frozenset(map(domain_key, international))


# The next message often has the same author.
_cached_domains = lru_cache(maxsize=4096)(_domains)


def _addresses_of(values: list[bytes]) -> tuple[Address, ...] | None:
    if len(values) != 1:
        return None if values else ()
    text = values[0].replace(b"\r\n", b"").decode("utf-8", "surrogateescape")
    try:
        one = _ONE_MAILBOX.fullmatch(text)
        return (parse_foreign(one[1] or one[2]),) if one is not None else _listed(text)
    except AddressSyntaxError:
        return None


def _listed(text: str) -> tuple[Address, ...] | None:
    """Return the addresses of a mailbox list, also in groups (RFC 6854); None if it is malformed."""
    if len(text) > _MAX_AUTHORS:
        return None
    text = without_comments(f"{text}\0")
    if not text.endswith("\0"):
        # A comment without an end: programs differ in what follows it.
        return None
    text = text[:-1]
    found: list[Address] = []
    at = 0
    while at < len(text):
        member = _MEMBER.match(text, at)
        if member is None:
            return None
        at = member.end()
        phrase, address, end = member[1].strip(), member[2], member[3]
        if end == ":":
            # The name of a group. An address in front of a colon may be read as an author.
            if address is not None or "@" in _QUOTED.sub("", phrase):
                return None
        elif address is not None:
            # Some programs take an address in an unquoted name as the author.
            found += [parse_foreign(word) for word in _QUOTED.sub(" ", phrase).split() if "@" in word]
            found.append(parse_foreign(address.strip()))
        elif phrase:
            found.append(parse_foreign(phrase))
    return tuple(found) or None
