"""Checksums of body pieces: a fast one for each read; SHA-256 for `verify` and for pieces without the fast one."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from xxhash import xxh3_64_digest

# An odd number near 2^64 divided by the golden ratio. It keeps the seeds of one body's pieces apart from those of
# bodies with the following ids.
_SPREAD: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


#: `checksum` of a first piece, given its content and `body_id << 1 | dots`. It saves a call for each small message.
first_checksum: Final = xxh3_64_digest


def checksum(body_id: int, number: int, dots: bool, content: bytes) -> bytes:
    """Compute the 64-bit XXH3 of a piece. The seed is its position, so that a piece of another body never matches.

    @param number: 0 for the first piece.
    @param dots: the flag that is stored with the piece.
    """
    return xxh3_64_digest(content, (body_id + number * _SPREAD << 1 | bool(dots)) & _MASK)


def is_intact(
    body_id: int, number: int, dots: bool, content: bytes, stored: bytes | None, digest: bytes | None
) -> bool:
    """Whether a piece is the one that was accepted.

    @param stored: the checksum in the store. None if the piece was accepted before revision 0005 of the schema.
    @param digest: the SHA-256 in the store, compared if there is no checksum. None if release 0.1 accepted the piece:
        such a piece cannot be checked and counts as intact.
    """
    if stored is not None:
        # The same as `checksum`. Calling it would add a tenth to the cost for a small message.
        return xxh3_64_digest(content, (body_id + number * _SPREAD << 1 | dots) & _MASK) == stored
    return digest is None or sha256(content).digest() == digest
