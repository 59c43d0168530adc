"""Status lines of gpg: the only output of gpg that decides anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from emailsys.client.crypto.values import DecryptionState, Signature, SignatureState

_PREFIX: Final = b"[GNUPG:] "
#: More status lines belong to no real message.
MAX_STATUS: Final = 200_000
_MAX_SIGNATURES: Final = 5
# gpg-error codes: no pinentry, no passphrase, cancelled, bad passphrase.
_NO_PINENTRY: Final = frozenset({85, 177})
_CANCELLED: Final = frozenset({99, 198})
# RFC 9580 §9.5.
_HASHES: Final = {
    "1": "md5",
    "2": "sha1",
    "3": "ripemd160",
    "8": "sha256",
    "9": "sha384",
    "10": "sha512",
    "11": "sha224",
}
# Collisions in them can be computed: the same signature fits two texts.
WEAK_HASHES: Final = frozenset({"md5", "sha1", "ripemd160"})
_STATES: Final = {
    "GOODSIG": SignatureState.GOOD,
    "BADSIG": SignatureState.BAD,
    "EXPSIG": SignatureState.EXPIRED,
    "EXPKEYSIG": SignatureState.KEY_EXPIRED,
    "REVKEYSIG": SignatureState.KEY_REVOKED,
}


@dataclass(frozen=True, slots=True)
class Status:
    """One status line: a keyword and its arguments, still escaped."""

    keyword: str
    arguments: tuple[str, ...]

    def argument(self, number: int) -> str:
        """Return an argument by its number from 0; "" if there is none."""
        return self.arguments[number] if number < len(self.arguments) else ""

    def rest(self, number: int) -> str:
        """Return the text from an argument on, unescaped."""
        return unquote(" ".join(self.arguments[number:]), errors="replace")


def parse_status(octets: bytes) -> list[Status]:
    """Parse the output of --status-fd. Only LF ends a line: gpg escapes it in file names and user ids."""
    found = []
    for line in octets[:MAX_STATUS].split(b"\n"):
        if line.startswith(_PREFIX):
            keyword, *arguments = line[len(_PREFIX) :].decode("utf-8", "replace").split(" ")
            found.append(Status(keyword, tuple(arguments)))
    return found


def signatures_of(lines: Sequence[Status]) -> list[Signature]:
    """Return a signature for each NEWSIG. `GOOD` says no more than that the numbers are right.

    Who made it, and whether the key is the author's, is decided by code that knows the key and the message.
    """
    return [_signature(group) for group in _groups(lines)][:_MAX_SIGNATURES]


def _groups(lines: Sequence[Status]) -> Iterator[list[Status]]:
    group: list[Status] | None = None
    for line in lines:
        if line.keyword == "NEWSIG":
            if group is not None:
                yield group
            group = []
        elif group is not None:
            group.append(line)
    if group is not None:
        yield group


def _signature(group: Sequence[Status]) -> Signature:
    verdicts = [line for line in group if line.keyword in _STATES or line.keyword == "ERRSIG"]
    valid = [line for line in group if line.keyword == "VALIDSIG"]
    if len(verdicts) != 1 or len(valid) > 1:
        # Nothing that this program knows: an error, never a good signature.
        return Signature(SignatureState.UNCHECKED, reason="gpg gave no clear answer")
    one = verdicts[0]
    if one.keyword == "ERRSIG":
        # The reason 9 is a missing key, 4 an unknown algorithm.
        if one.argument(5) == "9":
            return Signature(SignatureState.NO_KEY, key=_hexadecimal(one.argument(6)) or _hexadecimal(one.argument(0)))
        return Signature(
            SignatureState.UNCHECKED, key=_hexadecimal(one.argument(0)), reason="gpg cannot check its kind"
        )
    state = _STATES[one.keyword]
    if state is SignatureState.BAD or not valid:
        # GOODSIG without VALIDSIG is not a result that gpg gives.
        state = SignatureState.BAD if state is SignatureState.BAD else SignatureState.UNCHECKED
        return Signature(state, one.rest(1), _hexadecimal(one.argument(0)))
    line = valid[0]
    return Signature(
        state,
        one.rest(1),
        _hexadecimal(line.argument(9)) or _hexadecimal(line.argument(0)),
        _time(line.argument(2)),
        hash_name=_HASHES.get(line.argument(7), "another hash"),
    )


def _hexadecimal(text: str) -> str:
    return text.upper() if 8 <= len(text) <= 64 and all(one in "0123456789abcdefABCDEF" for one in text) else ""


def _time(text: str) -> datetime | None:
    try:
        if "T" in text:
            return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def decryption_of(lines: Sequence[Status]) -> DecryptionState:
    """Return what became of encrypted data.

    It counts as decrypted only if it was encrypted at all, if gpg found its protection against changes intact (MDC or
    AEAD), and if there was exactly one text in it.
    """
    keywords = [line.keyword for line in lines]
    if "BEGIN_DECRYPTION" not in keywords and "NO_SECKEY" not in keywords:
        return DecryptionState.FAILED
    is_intact = "GOODMDC" in keywords or any(
        line.keyword == "DECRYPTION_INFO" and line.argument(2) not in ("", "0") for line in lines
    )
    is_failed = {"DECRYPTION_FAILED", "BADMDC", "BADARMOR"}.intersection(keywords)
    # gpg refuses a second text, and goes on.
    is_failed |= {line.argument(0) for line in lines if line.keyword == "ERROR"} & {"proc_pkt.plaintext"}
    if "DECRYPTION_OKAY" in keywords and is_intact and not is_failed and keywords.count("PLAINTEXT") == 1:
        return DecryptionState.DECRYPTED
    if needs_passphrase(lines) and "DECRYPTION_OKAY" not in keywords:
        return DecryptionState.LOCKED
    if "NO_SECKEY" in keywords and "DECRYPTION_OKAY" not in keywords and "BADMDC" not in keywords:
        return DecryptionState.NO_KEY
    return DecryptionState.FAILED


def needs_passphrase(lines: Sequence[Status]) -> bool:
    """Whether gpg gave up because it could not ask for a passphrase."""
    return any(code in _NO_PINENTRY for code in _error_codes(lines))


def is_cancelled(lines: Sequence[Status]) -> bool:
    """Whether the user refused to enter a passphrase."""
    return any(code in _CANCELLED for code in _error_codes(lines))


def _error_codes(lines: Sequence[Status]) -> Iterator[int]:
    for line in lines:
        if line.keyword in ("ERROR", "FAILURE") and line.argument(1).isascii() and line.argument(1).isdigit():
            # The upper half names the source of the error.
            yield int(line.argument(1)[:12]) & 0xFFFF
