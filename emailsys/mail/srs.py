"""Sender Rewriting Scheme (SRS): rewrite the reverse-path of forwarded mail, and restore it for bounces.

An alias forwards mail from our host, which SPF (RFC 7208) of the sender's domain does not list. The reverse-path
therefore becomes SRS0=hash=day=domain=local@ours. If another forwarder has already rewritten it, it becomes
SRS1=hash=forwarder=rest@ours, and bounces go directly to that forwarder. The hash prevents others from relaying through
us. The day makes a rewritten address expire after some weeks.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from emailsys.mail.address import Address, is_foreign_domain

# A bounce may take twice the lifetime of a message in a queue, plus a margin.
MAX_AGE_DAYS: Final = 21
# RFC 5321 §4.5.3.1.1. We accept longer ones, but other hosts may not.
_MAX_LOCAL_PART: Final = 64
# Two letters of base 32 for the day.
_DAYS: Final = 1024
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Letters of base 32, five bits each. Some systems do not preserve case.
_HASH_LETTERS: Final = 6
_SRS0: Final = re.compile(r"SRS0=([A-Z2-7]{6})=([A-Z2-7]{2})=([^=]+)=(.*)", re.IGNORECASE | re.DOTALL)
_SRS1: Final = re.compile(r"SRS1=([A-Z2-7]{6})=([^=]+)=([=+\-].+)", re.IGNORECASE | re.DOTALL)
# Addresses rewritten by others: "+" and "-" may be separators too, and we cannot check their hashes.
_FOREIGN_SRS0: Final = re.compile(r"SRS0([=+\-].+)", re.IGNORECASE | re.DOTALL)
_FOREIGN_SRS1: Final = re.compile(r"SRS1[=+\-][^=]+=([^=]+)=([=+\-].+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class SRS:
    """Rewrites reverse-paths and restores them.

    @ivar secret: the key of the hashes, at least 16 octets. Without it, a rewritten address cannot be forged.
    @ivar domain: the local domain of rewritten addresses.
    """

    secret: bytes = field(repr=False)
    domain: str

    def rewrite(self, reverse_path: Address, day: int) -> Address:
        """Return the reverse-path for forwarded mail.

        The original one is returned if the new local part would be too long, or could not be restored.

        @param day: days since a fixed day.
        """
        again = _FOREIGN_SRS1.fullmatch(reverse_path.local)
        first = _FOREIGN_SRS0.fullmatch(reverse_path.local)
        if again is not None:
            local = self._srs1(again[1], again[2])
        elif first is not None:
            local = self._srs1(reverse_path.domain, first[1])
        else:
            moment = _LETTERS[day % _DAYS // 32] + _LETTERS[day % 32]
            signed = f"{moment}={reverse_path.domain}={reverse_path.local}"
            local = f"SRS0={self._hash(signed)}={signed}"
            if self.restore(Address(local, self.domain), day) != reverse_path:
                # Bounces to it would be lost.
                return reverse_path
        rewritten = Address(local, self.domain)
        # A failed SPF check is better than an address that hosts reject.
        if len(str(rewritten).removesuffix(f"@{self.domain}").encode()) > _MAX_LOCAL_PART:
            return reverse_path
        return rewritten

    def restore(self, forward_path: Address, day: int) -> Address | None:
        """Return the original address of a rewritten one; None if it is not ours, forged or expired."""
        found = _SRS0.fullmatch(forward_path.local)
        if found is not None:
            digest, moment, domain, local = found.groups()
            if not self._is_signed(digest, f"{moment}={domain}={local}"):
                return None
            high, low = (_LETTERS.index(letter) for letter in moment.upper())
            if (day - high * 32 - low) % _DAYS > MAX_AGE_DAYS:
                return None
            return Address(local, domain) if is_foreign_domain(domain) else None
        again = _SRS1.fullmatch(forward_path.local)
        if again is None or not self._is_signed(again[1], f"{again[2]}={again[3]}") or not is_foreign_domain(again[2]):
            return None
        return Address(f"SRS0{again[3]}", again[2])

    def _srs1(self, forwarder: str, rest: str) -> str:
        signed = f"{forwarder}={rest}"
        return f"SRS1={self._hash(signed)}={signed}"

    def _hash(self, text: str) -> str:
        digest = hmac.digest(self.secret, text.lower().encode(), "sha256")
        return base64.b32encode(digest).decode("ascii")[:_HASH_LETTERS]

    def _is_signed(self, digest: str, text: str) -> bool:
        return hmac.compare_digest(self._hash(text), digest.upper())
