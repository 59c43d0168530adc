"""Copy of a message out of a plugin's file: with CRLF lines, in steps that each have a deadline."""

from __future__ import annotations

import io
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

# Octets that stay in memory, and octets that one step copies.
_IN_MEMORY: Final = 256 * 1024
_STEP: Final = 1024 * 1024
# A message whose lines all end with LF grows: one of empty lines only, to twice its size.
_GROWTH: Final = 2
_SLACK: Final = 64 * 1024


class MessageCopy:
    """A copy of one message. Without it, a file that fails in its middle would end the session."""

    def __init__(self, source: Any, octets: int) -> None:
        """@param octets: the size of the message, as the mailbox lists it."""
        self._source = source
        self._copy: IO[bytes] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._left = octets * _GROWTH + _SLACK
        self._tail = b""

    def take(self) -> bool:
        """Copy the next octets. Returns whether the message is complete. May block.

        @raise TypeError: the file has text in place of octets.
        @raise ValueError: the message is much longer than the mailbox lists it.
        """
        octets = self._source.read(_STEP)
        if not isinstance(octets, bytes):
            raise TypeError(f"the file of a message returned {type(octets).__name__} in place of bytes")
        is_end = not octets
        octets = self._tail + octets
        # The next octet may be an LF.
        self._tail = b"\r" if octets.endswith(b"\r") and not is_end else b""
        octets = octets.removesuffix(self._tail).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self._left -= len(octets)
        if self._left < 0:
            raise ValueError("the message is much longer than listMessages says")
        self._copy.write(octets)
        if is_end:
            self._copy.seek(io.SEEK_SET)
            self._source.close()
        return is_end

    def read(self, octets: int = -1) -> bytes:
        """Return the next octets of the copy, once it is complete."""
        return self._copy.read(octets)

    def file(self) -> IO[bytes]:
        """Return the complete copy, which the caller closes."""
        return self._copy

    def close(self) -> None:
        """Close the copy, and the file of the plugin if it failed."""
        self._copy.close()
        # `take` has already reported the fault of the file.
        with suppress(Exception):
            self._source.close()
