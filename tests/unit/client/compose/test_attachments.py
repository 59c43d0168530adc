"""Files that are attached to a message."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.compose.attachments import attach, type_of
from emailsys.client.compose.draft import Attachment, ComposeError
from tests.unit.client.compose.test_compose import PNG


class Attaching(SynchronousTestCase):
    def test_name_and_content_tell_the_type(self) -> None:
        for name, octets, content_type in (
            ("a.txt", b"text", "text/plain"),
            ("a.txt", b"\x00\x01", "application/octet-stream"),
            ("a.txt", PNG, "image/png"),
            ("a", b"RIFF....WEBP", "image/webp"),
            ("a", "text ü".encode(), "text/plain"),
            ("a", b"\xff", "application/octet-stream"),
            ("a", b"", "application/octet-stream"),
            ("a", b"PK\x03\x04", "application/zip"),
            ("a.tar.bz2", b"BZh", "application/x-bzip2"),
            ("a.eml", b"Subject: x\n", "message/rfc822"),
            ("a.mht", b"x", "application/octet-stream"),
            ("a.pdf", b"x", "application/pdf"),
        ):
            self.assertEqual(type_of(name, octets), content_type, name)

    def test_a_file_is_read_or_its_absence_said(self) -> None:
        path = Path(self.mktemp())
        self.assertIn("No such file", str(self.assertRaises(ComposeError, attach, path)))
        path.write_bytes(b"x")
        self.assertEqual(attach(path, "c@x"), Attachment(path.name, b"x", "text/plain", "c@x"))

    def test_a_folder_a_pipe_and_a_device_are_refused_without_reading_them(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        kinds = {folder: "a folder"}
        if sys.platform != "win32":
            os.mkfifo(folder / "pipe")
            kinds |= {folder / "pipe": "a named pipe", Path("/dev/zero"): "a device"}
        for path, kind in kinds.items():
            error = self.assertRaises(ComposeError, attach, path)
            self.assertEqual(str(error), f"Cannot attach {path}: it is {kind}, not a file.")
