"""Stored passwords: create and verify argon2id hashes. Each scheme has its own row, so others can be added."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

#: The name of the scheme in a credentials row.
ARGON2ID: Final = "argon2id"

# OWASP's minimum for argon2id: 2 passes over 19 MiB, one lane. It takes 17 ms of one core; argon2-cffi's default takes
# 146 ms. This resists guessing and still allows a hundred users to log in at nine o'clock.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, type=Type.ID)


class PasswordError(ValueError):
    """The text cannot be a password. The message says why."""


def prepare(password: str) -> str:
    """Return the form in which a password is hashed and compared: OpaqueString of RFC 8265 §4.2, as far as needed here.

    Other space characters become U+0020, and the text becomes NFC. Case is preserved.

    @raise PasswordError: the password is empty, or has control characters or lone surrogates.
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
    """Return an argon2id hash with a new salt, in PHC format. Takes about 20 ms of one core and releases the GIL.

    @raise PasswordError: the text cannot be a password.
    """
    return _HASHER.hash(prepare(password))


def make_credentials(password: str) -> list[tuple[str, str]]:
    """Return the credentials rows for a password: pairs of scheme and stored secret.

    @raise PasswordError: the text cannot be a password.
    """
    return [(ARGON2ID, hash_password(password))]


def verify_password(stored: str, password: str) -> bool:
    """Tell whether an argon2id hash is that of a password. Takes the same time for right and wrong passwords.

    Text that cannot be a password, and a hash that cannot be parsed, do not match.
    """
    try:
        prepared = prepare(password)
    except PasswordError:
        # Hash anyway: a faster answer would tell the two cases apart.
        prepared, stored = "", dummy_hash()
    try:
        return _HASHER.verify(stored, prepared)
    except (Argon2Error, InvalidHashError):
        return False


def needs_rehash(stored: str) -> bool:
    """Tell whether a hash has other cost parameters than the current ones, or cannot be parsed."""
    try:
        return _HASHER.check_needs_rehash(stored)
    except (Argon2Error, InvalidHashError):
        return True


@lru_cache(maxsize=1)
def dummy_hash() -> str:
    """Return a hash that matches no password. Verify it if there is no account: it takes the same time."""
    # `prepare` rejects this text.
    return _HASHER.hash("\x00 no password")
