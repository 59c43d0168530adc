"""Notices that the postmaster has received, kept in the state folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.daemon.sent_notices import SENT_NAME, SentNotices


class SentNoticesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.state.mkdir(parents=True)

    def test_a_restart_remembers_the_last_ones(self) -> None:
        sent = SentNotices(self.state)
        sent.replace(("one",))
        sent.replace(("two", "three"))
        self.assertEqual(SentNotices(self.state).keys, {"two", "three"})

    def test_a_pipe_in_their_place_is_not_waited_for(self) -> None:
        """The daemon did not start."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        os.mkfifo(self.state / SENT_NAME)
        os.mkfifo(self.state / f".{SENT_NAME}")
        sent = SentNotices(self.state)
        self.assertEqual(sent.keys, frozenset())
        sent.replace(("one",))
        self.assertEqual(sent.keys, {"one"})
