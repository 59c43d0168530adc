"""Mail addresses: parsed once at the edge, then compared by key and printed by rule."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

# RFC 5322 §3.2.3 dot-atom, extended by RFC 6531 §3.3 to UTF-8.
_DOT_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+)*")


class AddressSyntaxError(ValueError):
    """The text is no mail address; the message says what is wrong with it, in words fit for a reply."""


@lru_cache(maxsize=4096)
def domain_key(domain: str) -> str:
    """The form in which domains are compared and stored: lower-case A-labels (RFC 5890), no trailing dot.

    Address literals keep their brackets. A name that IDNA refuses is compared in lower case as it stands.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return domain.lower()


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox, local part and domain, as RFC 5321 §4.1.2 means it.

    The local part is the value, without quotes or backslashes; `str` quotes it again where it must.
    """

    local: str
    domain: str

    @property
    def key(self) -> tuple[str, str]:
        """What addresses of this system are compared by: local part and domain, both without case."""
        return unicodedata.normalize("NFC", self.local).casefold(), domain_key(self.domain)

    @property
    def is_ascii(self) -> bool:
        """Whether the address travels without SMTPUTF8 (RFC 6531)."""
        return self.local.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        if _DOT_ATOM.fullmatch(self.local):
            return f"{self.local}@{self.domain}"
        quoted = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'
