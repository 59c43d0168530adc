"""The secret of rewritten senders: made once, for its owner alone, and the same ever after."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from emailsys.config.loader import embedded
from emailsys.daemon.route_explanation import explainer
from emailsys.daemon.srs_secret import load_or_create_secret
from emailsys.supervisor import StartupError
from tests.fakes.store.memory_store import MemoryStore


class Kept(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.path = folder / "srs.secret"

    def test_the_secret_is_made_once_and_readable_by_its_owner_only(self) -> None:
        """Else every bounce under way would lose its way back at a restart."""
        secret = load_or_create_secret(self.path)
        self.assertEqual(len(secret), 32)
        self.assertEqual(load_or_create_secret(self.path), secret)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["srs.secret"])

    def test_one_that_was_cut_is_told(self) -> None:
        self.path.write_bytes(b"short")
        error = self.assertRaises(StartupError, load_or_create_secret, self.path)
        self.assertEqual(error.status, Exit.CONFIG)
        self.assertIn("has 5 octets instead of 32", str(error))

    def test_a_pipe_in_its_place_is_not_waited_for(self) -> None:
        """Another user may own the folder: `emailsys route explain`, run by root, would hang."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        os.mkfifo(self.path)
        error = self.assertRaises(StartupError, load_or_create_secret, self.path)
        self.assertIn("is not a regular file", str(error))
        explainer(embedded(self.path.parent), MemoryStore())

    def test_a_folder_that_is_not_there_is_told(self) -> None:
        error = self.assertRaises(StartupError, load_or_create_secret, self.path / "x" / "srs.secret")
        self.assertEqual(error.status, Exit.CANNOT_CREATE)
