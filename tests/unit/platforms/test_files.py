"""Calls on files: what another user may have put in the place of a file is neither waited for nor read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.platforms.files import NO_FOLLOW, open_regular, read_file


class Reading(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_a_file_is_read_up_to_a_limit(self) -> None:
        self.path.write_bytes(b"12345\r\n")
        self.assertEqual(read_file(self.path, 100), b"12345\r\n")
        self.assertEqual(read_file(self.path, 3), b"123")

    def test_a_pipe_is_not_waited_for(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        os.mkfifo(self.path)
        self.assertIn("not a regular file", str(self.assertRaises(OSError, read_file, self.path, 100)))

    def test_a_device_is_not_read(self) -> None:
        """It may have no end."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        self.path.symlink_to("/dev/zero")
        self.assertIn("not a regular file", str(self.assertRaises(OSError, read_file, self.path, 100)))

    def test_a_pipe_and_a_link_are_not_written_to(self) -> None:
        """A pipe that no program reads would be waited for. A link may lead to the file of another user."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        flags = os.O_WRONLY | os.O_CREAT | NO_FOLLOW
        os.mkfifo(self.path)
        self.assertIn("not a regular file", str(self.assertRaises(OSError, open_regular, self.path, flags)))
        link = self.path.with_name(self.path.name + ".link")
        link.symlink_to(self.path.name + ".other")
        self.assertRaises(OSError, open_regular, link, flags)
        self.assertFalse(link.exists())
