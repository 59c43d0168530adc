"""Direct access to the WAL of SQLite: its octets in use, and rewriting them (sqlite.org/fileformat2.html, §4).

The size of the file means nothing, because SQLite restarts a WAL by overwriting it from its start. The frames in use
have the salts of the header. SQLite holds no locks on this file, so opening and closing it here releases none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from emailsys.platforms.files import NO_FOLLOW, open_regular, read_at, write_at

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
# Octets that one system call rewrites.
_PORTION: Final = 1024 * 1024


class WalGauge:
    """Measures and rewrites a WAL."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def octets(self) -> int:
        """Return the octets of the frames in use: 0 if the WAL is empty or missing."""
        if self._descriptor is not None and os.fstat(self._descriptor).st_nlink == 0:
            self.close()
        if self._descriptor is None:
            try:
                self._descriptor = open_regular(self._path, os.O_RDONLY | NO_FOLLOW)
            except FileNotFoundError:
                return 0
        header = read_at(self._descriptor, _HEADER, 0)
        if len(header) < _HEADER:
            return 0
        page = int.from_bytes(header[8:12], "big")
        salts = header[16:24]
        frame = _FRAME_HEADER + page
        low, high = 0, (os.fstat(self._descriptor).st_size - _HEADER) // frame
        while low < high:
            middle = (low + high) // 2
            if read_at(self._descriptor, 8, _HEADER + middle * frame + 8) == salts:
                low = middle + 1
            else:
                high = middle
        return low * frame

    def write_again(self) -> None:
        """Rewrite the octets in use in their place, and sync the file.

        After a failed sync, Linux considers the pages clean: reads return them from memory, and no later sync writes
        them. Rewriting makes them dirty again. Call while no other thread or process writes to the log.

        @raise OSError: the log cannot be made durable.
        """
        self.close()
        length = self.octets() + _HEADER
        try:
            descriptor = open_regular(self._path, os.O_RDWR | NO_FOLLOW)
        except FileNotFoundError:
            return
        try:
            for start in range(0, length, _PORTION):
                octets = read_at(descriptor, min(_PORTION, length - start), start)
                while octets:
                    done = write_at(descriptor, octets, start)
                    octets, start = octets[done:], start + done
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
