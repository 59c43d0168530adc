"""A wall clock for one daemon, which jumps when the harness says so."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from benchmarks.crash.disk import build


class Clock:
    """The clock, right at first.

    @param folder: where the file is made that the daemon reads it from.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "clock.offset"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(build("clock")), "CLOCK_OFFSET": str(path)}

    def set(self, seconds: int) -> None:
        """Set the seconds by which it is ahead; negative ones make it late."""
        struct.pack_into("<q", self._memory, 0, seconds)
