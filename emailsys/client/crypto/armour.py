"""OpenPGP in the text of a message (RFC 9580 §6, §7): where it begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# RFC 9580 §6.2: an armour header line stands alone at the beginning of a line.
_BEGIN: Final = re.compile(rb"^-----BEGIN PGP (SIGNED MESSAGE|MESSAGE)-----[ \t]*\r?$", re.M)
_END: Final = {
    b"SIGNED MESSAGE": re.compile(rb"^-----END PGP SIGNATURE-----[ \t]*(?:\r?\n|\r?\Z)", re.M),
    b"MESSAGE": re.compile(rb"^-----END PGP MESSAGE-----[ \t]*(?:\r?\n|\r?\Z)", re.M),
}
#: Blocks of one text that are looked at. The rest stays as it is.
_MAX_BLOCKS: Final = 5


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a text. @ivar is_block: whether it is a signed or encrypted block with its armour lines."""

    octets: bytes
    is_block: bool


def segments(octets: bytes) -> list[Segment]:
    """Split a text into armoured blocks and the text around them. A text without a complete block is one piece."""
    found: list[Segment] = []
    at = blocks = 0
    while blocks < _MAX_BLOCKS and (begin := _BEGIN.search(octets, at)):
        end = _END[begin[1]].search(octets, begin.end())
        if end is None:
            break
        if octets[at : begin.start()].strip():
            found.append(Segment(octets[at : begin.start()], False))
        found.append(Segment(octets[begin.start() : end.end()], True))
        at = end.end()
        blocks += 1
    if octets[at:].strip() or not found:
        found.append(Segment(octets[at:], False))
    return found
