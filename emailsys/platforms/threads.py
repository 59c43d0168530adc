"""Background threads with a lower CPU priority."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Final

from typing_extensions import override

# Steps of nice(2): beside a thread of normal priority, a third of its CPU time.
_STEPS: Final = 5


class BackgroundThread(threading.Thread):
    """A thread for work that takes whole cores, such as hashing of passwords.

    Only Linux has a priority for each thread (setpriority(2)). Elsewhere this is an ordinary thread.
    """

    @override
    def run(self) -> None:
        if sys.platform == "linux":
            thread = threading.get_native_id()
            # A sandbox may forbid the call. The work is done all the same.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _STEPS)
        super().run()
