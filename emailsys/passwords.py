"""Make and verify stored passwords: argon2id now, one row for each scheme, so that SCRAM keys can stand beside it."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

#: The name of the scheme in a credentials row.
ARGON2ID: Final = "argon2id"

# OWASP's minimum for argon2id: 2 passes over 19 MiB, one lane. 17 ms of one core, where argon2-cffi's default takes
# 146: enough against guessing, little enough for a hundred people who log in at nine.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, type=Type.ID)


class PasswordError(ValueError):
    """The text can be nobody's password; the message says why."""


def prepare(password: str) -> str:
    """The form in which a password is stored and compared: OpaqueString of RFC 8265 §4.2, as far as it matters here.

    Spaces of other scripts become U+0020, composition is NFC; case is kept.

    @raise PasswordError: it is empty, or has control characters or lone surrogates.
    """
    if not password:
        raise PasswordError("the password is empty")
    if password.isascii():
        prepared = password
    else:
        spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in password)
        prepared = unicodedata.normalize("NFC", spaced)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in prepared):
        raise PasswordError("the password has control characters")
    return prepared


def hash_password(password: str) -> str:
    """An argon2id hash with a salt of its own, in PHC form. Takes some 20 ms of a core, with the GIL released.

    @raise PasswordError: the text can be nobody's password.
    """
    return _HASHER.hash(prepare(password))


def make_credentials(password: str) -> list[tuple[str, str]]:
    """The credentials rows of an account with that password: pairs of scheme and stored secret.

    @raise PasswordError: the text can be nobody's password.
    """
    return [(ARGON2ID, hash_password(password))]


def verify_password(stored: str, password: str) -> bool:
    """Whether it is the password of that argon2id hash. Takes the same time for right and wrong ones.

    What can be nobody's password, or a hash that cannot be read, is simply wrong.
    """
    try:
        prepared = prepare(password)
    except PasswordError:
        # The same work all the same: who can tell the two apart learns something.
        prepared, stored = "", dummy_hash()
    try:
        return _HASHER.verify(stored, prepared)
    except (Argon2Error, InvalidHashError):
        return False


def needs_rehash(stored: str) -> bool:
    """Whether a hash was made with other costs than today's, or cannot be read."""
    try:
        return _HASHER.check_needs_rehash(stored)
    except (Argon2Error, InvalidHashError):
        return True


@lru_cache(maxsize=1)
def dummy_hash() -> str:
    """A hash that no password fits, to be verified where there is no account: it costs the same time."""
    # `prepare` refuses what this was made of.
    return _HASHER.hash("\x00 no password")
