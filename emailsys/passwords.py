"""Passwords: the rule for new ones, the secrets that are stored for a password, and their verification.

`make_credentials` alone decides which secrets those are. Every way to set a password stores what it returns.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError

#: The names of schemes in credentials rows: a hash that is made here, and one that another program made.
ARGON2ID: Final = "argon2id"
IMPORTED: Final = "imported"

# OWASP's minimum for argon2id: 2 passes over 19 MiB, one lane. It takes 17 ms of one core; argon2-cffi's default takes
# 146 ms. This resists guessing and still allows a hundred users to log in at nine o'clock.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, type=Type.ID)

# Schemes of imported hashes, as passlib names them: the names of crypt(3), LDAP and PBKDF2.
_IMPORTED: Final = (
    *("bcrypt", "sha512_crypt", "sha256_crypt", "md5_crypt", "pbkdf2_sha256", "pbkdf2_sha512"),
    *("ldap_salted_sha1", "ldap_salted_sha256", "ldap_salted_sha512"),
)
# Cost of an imported hash. A login with a larger one would keep a thread busy for seconds.
_MAX_ROUNDS: Final = 200_000
_MAX_BCRYPT_ROUNDS: Final = 14
# Octets of a password that bcrypt uses.
_BCRYPT_OCTETS: Final = 72
_MAX_ARGON2_KIB: Final = 256 * 1024
_MAX_ARGON2_PASSES: Final = 20
# Passes times KiB. 1 GiB takes about a second of one core, at each login, wrong ones included.
_MAX_ARGON2_WORK: Final = 1024 * 1024
# Lanes of argon2, each of which is a thread.
_MAX_ARGON2_LANES: Final = 16

# Guesses that a new password must resist, as zxcvbn estimates them: its limit for a score of 3 of 4. At the cost of the
# hash, 10^8 guesses take 20 days of one core.
_MIN_GUESSES: Final = 10**8
# Characters that zxcvbn sees; what follows can only add guesses. Its work grows with the square: 32 characters take up
# to 0.5 s of one core, the 72 that it accepts up to 2.5 s.
_ESTIMATED: Final = 32
# zxcvbn keeps the account's names in a variable of its module, so that two threads would mix them.
_ESTIMATING: Final = threading.Lock()
# Parts of an account's name that are shorter are in too many words.
_MIN_NAME: Final = 3
# Letters and digits that a password must have besides the account's name.
_MIN_REST: Final = 5


class PasswordError(ValueError):
    """The text cannot be a password, or not a new one. The message says why."""


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


def check_new_password(password: str, names: Sequence[str], min_length: int) -> None:
    """Check that a new password is long enough and not easy to guess. Length counts, classes of characters do not.

    @param names: names that the password must not be made of, such as the account's address.
    @param min_length: characters; 0 accepts every text that can be a password.
    @raise PasswordError: the password is too short, is common, or is made of a name.
    """
    prepared = prepare(password)
    if not min_length:
        return
    if len(prepared) < min_length:
        characters = "character" if len(prepared) == 1 else "characters"
        raise PasswordError(
            f"the password has {len(prepared)} {characters}; at least {min_length} are required. Several words in "
            "a row are easy to remember and hard to guess."
        )
    # Imported here: it loads 1.7 MB of word lists, and logins do not need it.
    from zxcvbn import zxcvbn  # type: ignore[import-untyped]

    own = sorted({part for name in names for part in _parts(name)}, key=len, reverse=True)
    with _ESTIMATING:
        estimate = zxcvbn(prepared[:_ESTIMATED], user_inputs=own)
    is_own_name = _is_made_of(prepared, own)
    if estimate["guesses"] >= _MIN_GUESSES and not is_own_name:
        return
    if is_own_name or any(match.get("dictionary_name") == "user_inputs" for match in estimate["sequence"]):
        reason = "it is mostly the account's own name"
    else:
        warning = str(estimate["feedback"]["warning"]).removesuffix(".")
        reason = f"{warning[:1].lower()}{warning[1:]}" if warning else "it is a few common words or characters"
    raise PasswordError(f"the password can be guessed soon: {reason}. Choose several words that do not fit together.")


def _parts(name: str) -> list[str]:
    """Return a name and its parts: "ann.miller@example.org" has ann, miller, example and others."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()
    return [part for part in (name, name.partition("@")[0], "".join(words), *words) if len(part) >= _MIN_NAME]


def _is_made_of(password: str, own: Sequence[str]) -> bool:
    """Tell whether nearly nothing is left of a password without these names, the longest first, and separators."""
    rest = password.casefold()
    for name in own:
        rest = rest.replace(name, "")
    return rest != password.casefold() and sum(map(str.isalnum, rest)) < _MIN_REST


def hash_password(password: str) -> str:
    """Return an argon2id hash with a new salt, in PHC format. Takes about 20 ms of one core and releases the GIL.

    @raise PasswordError: the text cannot be a password.
    """
    return _HASHER.hash(prepare(password))


def make_credentials(password: str) -> list[tuple[str, str]]:
    """Return all secrets that are stored for a password: pairs of scheme and secret, one row of credentials each.

    A SASL mechanism that verifies proofs itself adds its secret here and to `are_outdated`.

    @raise PasswordError: the text cannot be a password.
    """
    return [(ARGON2ID, hash_password(password))]


def are_outdated(credentials: Sequence[tuple[str, str]]) -> bool:
    """Tell whether a login with the password should renew stored credentials by `make_credentials`.

    This is so if one of them is missing, or has other cost parameters than the current ones.
    """
    return needs_rehash(dict(credentials).get(ARGON2ID, ""))


def import_hash(text: str) -> list[tuple[str, str]]:
    """Return the credentials rows for a hash that another program made.

    @param text: argon2, bcrypt, SHA-512, SHA-256 or MD5 in the form of crypt(3), PBKDF2, or salted SHA in that of LDAP.
        Dovecot's name of the scheme may stand before it, as in {SHA512-CRYPT}$6$salt$hash.
    @raise PasswordError: the form is unknown, or the cost is too high.
    """
    scheme, closed, rest = text.removeprefix("{").partition("}")
    # The names of LDAP belong to the hash.
    stored = rest if text.startswith("{") and closed and "SSHA" not in scheme.upper() else text
    if stored.startswith("$argon2"):
        try:
            cost = extract_parameters(stored)
        except InvalidHashError:
            raise PasswordError("the argon2 hash is malformed") from None
        if cost.memory_cost > _MAX_ARGON2_KIB or cost.time_cost > _MAX_ARGON2_PASSES:
            raise PasswordError(f"the argon2 hash costs more than {_MAX_ARGON2_PASSES} passes over 256 MiB")
        if cost.memory_cost * cost.time_cost > _MAX_ARGON2_WORK:
            raise PasswordError("the argon2 hash costs more than 1 GiB of memory over all its passes")
        if cost.parallelism > _MAX_ARGON2_LANES:
            raise PasswordError(
                f"the argon2 hash has {cost.parallelism} lanes; at most {_MAX_ARGON2_LANES} are allowed"
            )
        return [(ARGON2ID, stored)]
    try:
        handler = _imported().identify(stored, resolve=True)
        parsed = None if handler is None else handler.from_string(stored)
    except ValueError:
        parsed = None
    if parsed is None or not getattr(parsed, "checksum", None):
        raise PasswordError(
            "the hash has no known form; argon2, bcrypt, SHA-512, SHA-256 and MD5 of crypt(3), PBKDF2 and salted SHA "
            "are known"
        )
    most = _MAX_BCRYPT_ROUNDS if parsed.name == "bcrypt" else _MAX_ROUNDS
    if getattr(parsed, "rounds", 0) > most:
        raise PasswordError(f"the hash costs {parsed.rounds} rounds; at most {most} are accepted")
    return [(IMPORTED, stored)]


@lru_cache(maxsize=1)
def _imported() -> Any:
    # Imported here: most systems have no such hash.
    from passlib.context import CryptContext  # type: ignore[import-untyped]

    return CryptContext(schemes=list(_IMPORTED))


def _verify_imported(stored: str, password: str) -> bool:
    secret = password.encode()
    if stored.startswith("$2"):
        secret = secret[:_BCRYPT_OCTETS]
    try:
        return bool(_imported().verify(secret, stored))
    except (ValueError, TypeError):
        return False


def verify_password(stored: str, password: str) -> bool:
    """Tell whether a stored hash is that of a password. Takes the same time for right and wrong passwords.

    Text that cannot be a password, and a hash that cannot be parsed, do not match.
    """
    try:
        prepared = prepare(password)
    except PasswordError:
        # Hash anyway: a faster answer would tell the two cases apart.
        prepared, stored = "", dummy_hash()
    try:
        return _HASHER.verify(stored, prepared)
    except InvalidHashError:
        return _verify_imported(stored, prepared)
    except Argon2Error:
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
