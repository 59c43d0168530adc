"""A reader of the vectors of which the messages of TLS consist."""

from __future__ import annotations


class Malformed(Exception):
    """A message is not what its type says. The parsers of this room catch it and return nothing."""


class Cursor:
    """Reads numbers and vectors (RFC 8446 §3.4) from the beginning to the end of some octets.

    Each method raises Malformed if the octets end too early.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self._at >= len(self._octets)

    def take(self, count: int) -> bytes:
        """Returns the next octets."""
        end = self._at + count
        if end > len(self._octets):
            raise Malformed(f"{count} octets expected, {len(self._octets) - self._at} left")
        found = self._octets[self._at : end]
        self._at = end
        return found

    def number(self, size: int) -> int:
        """Returns a number of `size` octets."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Returns a vector whose length is a number of `size` octets."""
        return self.take(self.number(size))

    def numbers(self, size: int, of: int = 2) -> tuple[int, ...]:
        """Returns a vector of numbers of `of` octets each."""
        octets = self.vector(size)
        return tuple(int.from_bytes(octets[at : at + of], "big") for at in range(0, len(octets) - of + 1, of))

    def vectors(self, size: int, inner: int) -> tuple[bytes, ...]:
        """Returns a vector of vectors, whose lengths are numbers of `inner` octets."""
        within, found = Cursor(self.vector(size)), []
        while not within.is_at_end:
            found.append(within.vector(inner))
        return tuple(found)
