"""Checksums of the pieces of bodies: a fast one for each read, SHA-256 for `verify` and for what came before it."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from xxhash import xxh3_64_digest

# An odd number near 2^64 divided by the golden ratio: it keeps the seeds of one body's pieces apart from those of the
# next bodies, whose ids follow.
_SPREAD: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


#: `checksum` of a first piece, given its content and `body_id << 1 | dots`. It saves a call for each small message.
first_checksum: Final = xxh3_64_digest


def checksum(body_id: int, number: int, dots: bool, content: bytes) -> bytes:
    """XXH3 of a piece, 64 bits. The seed is where the piece belongs: another body's piece does not pass for this one.

    @param number: 0 for the first piece.
    @param dots: the flag that is stored with the piece.
    """
    return xxh3_64_digest(content, (body_id + number * _SPREAD << 1 | bool(dots)) & _MASK)


def is_intact(
    body_id: int, number: int, dots: bool, content: bytes, stored: bytes | None, digest: bytes | None
) -> bool:
    """Whether a piece is what was accepted.

    @param stored: its checksum; None in what was accepted before revision 0005 of the store.
    @param digest: its SHA-256, which is looked at where there is no checksum; None in what release 0.1 has accepted,
        which cannot be checked.
    """
    if stored is not None:
        # As in `checksum`: a call more would be a tenth of what this costs for a small message.
        return xxh3_64_digest(content, (body_id + number * _SPREAD << 1 | dots) & _MASK) == stored
    return digest is None or sha256(content).digest() == digest
