"""Threads of lower priority."""

from __future__ import annotations

import os
import sys
import threading

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from emailsys.platforms.threads import BackgroundThread


class BackgroundThreadTests(SynchronousTestCase):
    """One thread, beside that of the test."""

    def priority(self) -> int:
        """Run a thread, and return its priority."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        found: list[int] = []
        thread = BackgroundThread(target=lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)))
        thread.start()
        thread.join()
        return found[0]

    def test_the_rest_of_the_process_goes_before_it(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("only Linux has a priority for each thread")
        ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.assertEqual(self.priority(), min(19, ours + 5))
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), ours)

    def test_the_work_is_done_where_a_sandbox_forbids_the_call(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("needs Unix")

        def forbid(which: int, who: int, priority: int) -> None:
            raise PermissionError

        self.patch(os, "setpriority", forbid)
        self.assertEqual(self.priority(), os.getpriority(os.PRIO_PROCESS, 0))
