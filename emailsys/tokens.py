"""Access tokens of the HTTP API: how their text is made and read, and what is stored instead of it."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

# Recognisable by programs that search for secrets, and selected as one word by a double click.
_FORM: Final = re.compile(r"emailsys_([0-9a-f]{12})_([0-9a-f]{64})")
_ID_OCTETS: Final = 6
_SECRET_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made. `text` is shown once; only `token_id` and `digest` are stored."""

    text: str
    token_id: str
    digest: bytes


def make_token() -> NewToken:
    """Return a new random token."""
    token_id, secret = secrets.token_hex(_ID_OCTETS), secrets.token_hex(_SECRET_OCTETS)
    return NewToken(f"emailsys_{token_id}_{secret}", token_id, _digest(secret))


def read_token(text: str) -> tuple[str, bytes] | None:
    """Return the id and the digest of a token, or None if the text has not the form of one."""
    found = _FORM.fullmatch(text)
    return None if found is None else (found[1], _digest(found[2]))


def _digest(secret: str) -> bytes:
    """Return what is stored of a secret.

    It is 256 random bits, which cannot be guessed however fast the hash is. A slow hash, as for passwords, would only
    delay every request.
    """
    return hashlib.sha256(secret.encode("ascii")).digest()
