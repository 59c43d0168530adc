"""Files of secrets that other users can read."""

from __future__ import annotations

import os
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.consistency import is_exposed


@unittest.skipIf(sys.platform == "win32", "needs Unix")
class ExposureTests(SynchronousTestCase):
    """Modes of a file, and of one in a mounted secret."""

    def test_modes(self) -> None:
        """Others may read or write; a file that is missing is no concern here."""
        path = Path(self.mktemp())
        self.assertFalse(is_exposed(path))
        path.write_text("hunter2")
        for mode, expected in ((0o600, False), (0o640, False), (0o644, True), (0o602, True)):
            path.chmod(mode)
            self.assertEqual(is_exposed(path), expected, oct(mode))

    def test_a_file_that_is_mounted_read_only(self) -> None:
        """Orchestrators mount secrets so, with mode 0444, for one container."""
        path = Path(self.mktemp())
        path.write_text("hunter2")
        path.chmod(0o444)
        self.assertTrue(is_exposed(path))
        if sys.platform != "win32":
            self.patch(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
        self.assertFalse(is_exposed(path))
