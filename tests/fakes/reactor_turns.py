"""How long the turns of a reactor are: what one of them costs, all other mail waits for."""

from __future__ import annotations

import gc
import os
import time
from typing import Any, Final

# Seconds of CPU time that one turn may cost: no mail is to wait longer. At other dates the tests run under libfaketime,
# which adds up to a sixth of a second of its own at times.
LONGEST: Final = 0.05 if "faketime" not in os.environ.get("LD_PRELOAD", "") else 1.0


class Turns:
    """Measures the turns of the reactor that runs a test, by the CPU time of its thread: a busy machine adds nothing.

    Garbage is collected before, and not meanwhile: a collection costs what all earlier tests have left.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._call: Any = None
        self._began = 0.0
        #: Seconds of the longest turn so far, and the number of turns.
        self.longest = 0.0
        self.count = 0

    def begin(self) -> None:
        """Begin to measure."""
        gc.collect()
        gc.disable()
        self._began = time.thread_time()
        self._call = self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._began)
        self.count += 1
        self._began = now
        self._call = self._reactor.callLater(0, self._turn)

    def end(self) -> None:
        """End the measurement."""
        gc.enable()
        self._call.cancel()
