"""Mail addresses: parse, compare and print them (RFC 5321, RFC 6531)."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

from emailsys.mail.ip import address_literal, read_ip

# Local parts that every domain needs (RFC 2142).
ROLES: Final = ("postmaster", "abuse")

# RFC 6531 §3.3 allows UTF-8 in atoms, quoted strings and domains. We accept neither C1 controls nor surrogates.
_BEYOND_ASCII: Final = "\u00a0-\ud7ff\ue000-\U0010ffff"


@dataclass(frozen=True, slots=True)
class _Patterns:
    """RFC 5321 §4.1.2 Dot-string, Quoted-string and Domain. No control octets, not even in quoted pairs."""

    dot_atom: re.Pattern[str]
    quoted: re.Pattern[str]
    domain: re.Pattern[str]
    #: What RFC 5321 does not allow and other systems use: dots in a row or at the end, and "_" in a domain.
    foreign_local: re.Pattern[str]
    foreign_domain: re.Pattern[str]


def _patterns(more: str) -> _Patterns:
    character = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~\-{more}]"
    atom = f"{character}+"
    label = rf"[A-Za-z0-9{more}](?:[A-Za-z0-9\-{more}]*[A-Za-z0-9{more}])?"
    foreign_label = rf"[A-Za-z0-9_{more}](?:[A-Za-z0-9_\-{more}]*[A-Za-z0-9_{more}])?"
    return _Patterns(
        re.compile(rf"{atom}(?:\.{atom})*"),
        re.compile(rf'"((?:[ !#-\[\]-~{more}]|\\[ -~])*)"'),
        re.compile(rf"{label}(?:\.{label})*"),
        re.compile(rf"{character}(?:{character}|\.)*"),
        re.compile(rf"{foreign_label}(?:\.{foreign_label})*"),
    )


_ASCII: Final = _patterns("")


@lru_cache(maxsize=1)
def _wide() -> _Patterns:
    """Return the patterns with UTF-8. They compile slowly, and most programs never need them."""
    return _patterns(_BEYOND_ASCII)


def _for(text: str) -> _Patterns:
    return _ASCII if text.isascii() else _wide()


_QUOTED_PAIR: Final = re.compile(r"\\(.)")
# RFC 5321 §4.1.3 General-address-literal.
_GENERAL_LITERAL: Final = re.compile(r"[A-Za-z0-9\-]*[A-Za-z0-9]:[!-Z^-~]+")

# RFC 5321 §4.5.3.1.2, in octets on the wire.
MAX_DOMAIN: Final = 255
#: RFC 5321 §4.5.3.1.3: a path has at most 256 octets, including its angle brackets.
MAX_PATH: Final = 256
_MAX_LABEL: Final = 63


class AddressSyntaxError(ValueError):
    """The text is not a mail address. The message names the fault and can be part of a reply."""


@lru_cache(maxsize=4096)
def domain_key(domain: str) -> str:
    """Return the form in which domains are compared and stored: lower-case A-labels (RFC 5890).

    Address literals keep their brackets. A name that IDNA rejects is only converted to lower case.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return domain.lower()


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox of RFC 5321 §4.1.2: local part and domain.

    The local part is stored without quotes and backslashes; `str` adds them where they are needed. The domain is empty
    only for the bare address <postmaster> (RFC 5321 §4.5.1).
    """

    local: str
    domain: str

    @property
    def key(self) -> tuple[str, str]:
        """The key for comparing addresses of this system: local part and domain, both case-folded."""
        return _key(self.local, self.domain)

    @property
    def is_ascii(self) -> bool:
        """Whether the address can be sent without SMTPUTF8 (RFC 6531)."""
        return self.local.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        return _written(self.local, self.domain)


# Each address is compared and printed several times, and the next message often has the same ones.
@lru_cache(maxsize=4096)
def _key(local: str, domain: str) -> tuple[str, str]:
    return unicodedata.normalize("NFC", local).casefold(), domain_key(domain)


@lru_cache(maxsize=4096)
def _written(local: str, domain: str) -> str:
    if not _for(local).dot_atom.fullmatch(local):
        quoted = local.replace("\\", "\\\\").replace('"', '\\"')
        local = f'"{quoted}"'
    return f"{local}@{domain}" if domain else local


def is_domain(text: str) -> bool:
    """Whether the text is a domain name of RFC 5321 §4.1.2 within its length limits; U-labels of RFC 5890 count."""
    return _for(text).domain.fullmatch(text) is not None and _fits(text)


def is_foreign_domain(text: str) -> bool:
    """Whether the text can be the domain or host of another system: as `is_domain`, with underscores.

    RFC 5321 does not allow them, but the DNS does, and hosts have such names.
    """
    return _for(text).foreign_domain.fullmatch(text) is not None and _fits(text)


def _fits(text: str) -> bool:
    if len(text) > MAX_DOMAIN:
        return False
    if text.isascii():
        return len(text) <= _MAX_LABEL or all(len(label) <= _MAX_LABEL for label in text.split("."))
    try:
        # This also rejects labels and names that are too long as A-labels.
        idna.encode(text.replace("_", "x"), uts46=True)
    except idna.IDNAError:
        return False
    return len(text.encode()) <= MAX_DOMAIN


def is_mail_domain(text: str) -> bool:
    """Whether the text can be a mail domain: a domain name that does not look like an IPv4 address.

    RFC 1123 §2.1: the last label of a host name is never a number. Without brackets, a name such as 192.0.2.1 could be
    an address.
    """
    return is_domain(text) and not text.rpartition(".")[2].isdecimal()


def host_name(text: str) -> str | None:
    """Return the name of a next hop that an operator has written; None if it is neither a host name nor an address.

    An IP address, with or without brackets, becomes an address literal. A name of numbers is never a host name (RFC
    1123 §2.1). Underscores are allowed, because containers have such names. A dot at the end, as in DNS, is dropped.
    """
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if inside[:5].lower() == "ipv6:":
        inside = inside[5:]
    if "%" not in inside and read_ip(inside) is not None:
        return address_literal(inside)
    name = text.removesuffix(".")
    if not is_foreign_domain(name) or name.rpartition(".")[2].isdecimal():
        return None
    return name.lower()


def is_address_literal(text: str) -> bool:
    """Whether the text is an address literal of RFC 5321 §4.1.3 with its brackets: IPv4, IPv6 or general."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > MAX_DOMAIN:
        return False
    inside = text[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inside[5:])
            return "%" not in inside
        if ":" not in inside:
            ipaddress.IPv4Address(inside)
            return True
    except ValueError:
        return False
    return _GENERAL_LITERAL.fullmatch(inside) is not None


@lru_cache(maxsize=4096)
def parse(text: str) -> Address:
    """Parse a Mailbox of RFC 5321 §4.1.2, with UTF-8 (RFC 6531 §3.3), without angle brackets or source route.

    The local part may be a dot-string or a quoted string, the domain a name or an address literal.

    A local part may exceed the 64 octets of RFC 5321 §4.5.3.1.1, which recommends to avoid limits. Reverse-paths that
    contain their recipient (VERP, SRS) do exceed them.

    @raise AddressSyntaxError: the text is not an address, is too long for a path, or has control octets.
    """
    return _parsed(text, is_foreign=False)


@lru_cache(maxsize=4096)
def parse_foreign(text: str) -> Address:
    """Parse an address that another system has chosen: as `parse`, and some that only the world uses.

    The local part may have dots in a row or at its end (`a..b@`, `a.@`), and a domain may have underscores. Such a
    local part is printed as a quoted string, which RFC 5321 allows.

    @raise AddressSyntaxError: as for `parse`.
    """
    return _parsed(text, is_foreign=True)


def _parsed(text: str, is_foreign: bool) -> Address:
    if (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) > MAX_PATH - 2:
        raise AddressSyntaxError(f"path longer than {MAX_PATH} octets")
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressSyntaxError("address without @domain")
    if not local:
        raise AddressSyntaxError("address without a local part")
    value = local
    patterns = _for(local)
    if not (patterns.foreign_local if is_foreign else patterns.dot_atom).fullmatch(local):
        quoted = _for(local).quoted.fullmatch(local)
        if quoted is None:
            raise AddressSyntaxError("malformed local part")
        value = _QUOTED_PAIR.sub(r"\1", quoted[1])
    if domain.startswith("["):
        if not is_address_literal(domain):
            raise AddressSyntaxError("malformed address literal")
    elif not (is_foreign_domain(domain) if is_foreign else is_domain(domain)):
        raise AddressSyntaxError("malformed domain" if domain else "address without a domain")
    return Address(value, domain)
