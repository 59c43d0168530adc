"""A SQLite WAL seen from outside: how much of it is in use, and writing that again (sqlite.org/fileformat2.html, §4).

The file's size says nothing: a WAL that begins anew is overwritten from its start. The frames in use are those that
bear the salts of the header. No lock of SQLite lies on this file, so that opening and closing it here harms none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
# Octets that one call writes again.
_PORTION: Final = 1024 * 1024


class WalGauge:
    """The octets in use of one WAL."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def octets(self) -> int:
        """0 where the WAL is empty or missing."""
        if self._descriptor is not None and os.fstat(self._descriptor).st_nlink == 0:
            self.close()
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return 0
        header = os.pread(self._descriptor, _HEADER, 0)
        if len(header) < _HEADER:
            return 0
        page = int.from_bytes(header[8:12], "big")
        salts = header[16:24]
        frame = _FRAME_HEADER + page
        low, high = 0, (os.fstat(self._descriptor).st_size - _HEADER) // frame
        while low < high:
            middle = (low + high) // 2
            if os.pread(self._descriptor, 8, _HEADER + middle * frame + 8) == salts:
                low = middle + 1
            else:
                high = middle
        return low * frame

    def write_again(self) -> None:
        """Write what is in use again, the same octets in the same place, and sync it.

        After a sync that failed, Linux takes the pages for clean: they are read back from memory, and no later sync
        writes them. Writing makes them dirty again. Call while nobody else writes to the log.

        @raise OSError: the log cannot be made durable.
        """
        self.close()
        length = self.octets() + _HEADER
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            for start in range(0, length, _PORTION):
                octets = os.pread(descriptor, min(_PORTION, length - start), start)
                while octets:
                    done = os.pwrite(descriptor, octets, start)
                    octets, start = octets[done:], start + done
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
