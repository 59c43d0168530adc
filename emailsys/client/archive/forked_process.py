"""A second process with a pipe in each direction, for work beside this process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from emailsys.platforms.files import widen_pipe
from emailsys.upstream import end_process

#: Capacity of the pipes in octets: Linux's limit for unprivileged processes.
PIPE_OCTETS: Final = 1024 * 1024


def fork(serve: Callable[[int, int], None]) -> tuple[int, int, int] | None:
    """Fork a process. Return None without `fork` or a second processor, or if other threads are running.

    In its own session, the process gets neither Ctrl-C nor SIGHUP, and it has no working folder. Its request pipe ends
    when this process closes it or dies.

    @param serve: called in the process with the descriptors of its requests and answers. Ends when requests close.
    @return: the process id, and the descriptors for requests and answers.
    """
    # Some libraries of macOS do not survive a fork.
    if sys.platform in ("win32", "darwin") or not hasattr(os, "fork"):
        return None
    if (os.cpu_count() or 1) < 2 or threading.active_count() > 1:
        return None
    asked, requests = os.pipe()
    answers, answered = os.pipe()
    widen_pipe(requests, PIPE_OCTETS)
    widen_pipe(answered, PIPE_OCTETS)
    process = os.fork()
    if process == 0:
        try:
            os.close(requests)
            os.close(answers)
            os.setsid()
            os.chdir("/")
            serve(asked, answered)
        finally:
            # Exit handlers belong to the first process.
            end_process(0)
    os.close(asked)
    os.close(answered)
    return process, requests, answers
