"""Pages that commands write: whole or not at all, and for their owner only."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.exporting import write_page
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit


class WritingTests(SynchronousTestCase):
    """The file behind --export."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.page = self.folder / "page.html"

    def test_a_page_is_replaced_whole(self) -> None:
        """Octet for octet, and no draft remains."""
        for text in ("<p>first, and longer</p>\n", "<p>é</p>\n"):
            write_page(self.page, text)
            self.assertEqual(self.page.read_bytes(), text.encode())
        self.assertEqual([path.name for path in self.folder.iterdir()], ["page.html"])
        if sys.platform != "win32":
            self.assertEqual(stat.S_IMODE(self.page.stat().st_mode), 0o600)

    def test_a_link_stays_a_link(self) -> None:
        """Its target is replaced."""
        if sys.platform == "win32":
            raise SkipTest("links need a privilege on Windows")
        link = self.folder / "link.html"
        write_page(self.page, "old")
        link.symlink_to("page.html")
        write_page(link, "new")
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.page.read_text(), "new")

    def test_what_cannot_be_written_is_refused(self) -> None:
        """A missing folder, and a page whose file cannot be moved into its place: the former page stays."""
        with self.assertRaises(Refused) as caught:
            write_page(self.folder / "no" / "page.html", "x")
        self.assertEqual(caught.exception.status, Exit.IO)
        write_page(self.page, "old")

        def full(*args: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(Path, "replace", full)
        with self.assertRaises(Refused) as caught:
            write_page(self.page, "new")
        self.assertIn("No space left", str(caught.exception.message))
        self.assertEqual(self.page.read_text(), "old")
        self.assertEqual(len([*self.folder.iterdir()]), 1)

    def test_a_device_is_written_to(self) -> None:
        """It is not replaced by a file."""
        if sys.platform == "win32":
            raise SkipTest("no such devices on Windows")
        write_page(Path(os.devnull), "x")
        self.assertFalse(Path(os.devnull).is_file())
