"""Mail comes from other programs and goes to them, octet by octet where their files allow it."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.exchange import (
    export_eml,
    export_maildir,
    export_mbox,
    import_eml,
    import_maildir,
    import_mbox,
    mbox_messages,
)
from emailsys.client.archive.values import Addition, ArchiveError, Flag
from tests.unit.test_client_archive import IN, ArchiveCase, message


class Exchange(ArchiveCase):
    def folder(self) -> Path:
        """A new folder."""
        folder = Path(self.mktemp())
        folder.mkdir()
        return folder

    def all_octets(self, archive: Archive) -> list[bytes]:
        """All messages of the Inbox, sorted."""
        return sorted(archive.octets(one.key) for one in archive.list(IN))

    def test_eml_files_go_out_and_come_in_unchanged(self) -> None:
        keys = [self.keep(octets) for octets in (message(), b"Subject: x\n\nlf\n", bytes(range(256)))]
        before = self.all_octets(self.archive)
        folder = self.folder()
        self.assertEqual(export_eml(self.archive, [*keys, keys[0]], folder), 4)
        self.assertEqual(len(list(folder.glob("*.eml"))), 4)
        self.archive.delete(keys)
        told: list[int] = []
        paths = [path for path in sorted(folder.glob("*.eml")) if "(2)" not in path.name]
        self.assertEqual(import_eml(self.archive, IN, paths, told.append), 3)
        self.assertEqual((self.all_octets(self.archive), told), (before, [3]))
        self.assertEqual(import_eml(self.archive, IN, [folder]), 4)

    def test_a_maildir_keeps_its_flags_and_is_taken_in_once(self) -> None:
        folder = self.folder()
        key = self.archive.add(Addition(message(), IN, flags=Flag.SEEN | Flag.ANSWERED))
        self.assertEqual(export_maildir(self.archive, [key], folder / "box"), 1)
        (read,) = mailbox.Maildir(folder / "box")
        self.assertEqual((read.get_flags(), read["subject"]), ("RS", "one"))
        (folder / "box" / "new" / "x").write_bytes(message("new"))
        (folder / "box" / "new" / ".x").write_bytes(b"hidden")
        self.archive.delete([key])
        for _again in range(2):
            self.assertEqual(import_maildir(self.archive, IN, folder / "box"), 2)
        found = {one.subject: one.flags for one in self.archive.list(IN)}
        self.assertEqual(found, {"one": Flag.SEEN | Flag.ANSWERED, "new": Flag.NONE})
        self.assertRaises(ArchiveError, import_maildir, self.archive, IN, folder)

    def test_an_mbox_keeps_lines_that_begin_with_from(self) -> None:
        text = "From me to you\r\n>From them\r\n\r\nFrom: x"
        key = self.keep(message(text=text))
        other = self.keep(b"Subject: no line end")
        path = self.folder() / "mbox"
        self.assertEqual(export_mbox(self.archive, [key, other], path), 2)
        self.assertEqual(len(mailbox.mbox(path)), 2)
        found = list(mbox_messages(path))
        self.assertEqual(
            [octets for _, octets in found], [message(text=text).replace(b"\r\n", b"\n"), b"Subject: no line end\n"]
        )
        self.assertEqual(found[0][0], self.archive.get(key).date)
        self.assertEqual(import_mbox(self.archive, IN, path), 2)

    def test_mboxes_of_other_programs_are_read(self) -> None:
        path = self.folder() / "mbox"
        path.write_bytes(
            b"From x\r\nStatus: RO\r\n\r\nbody\r\n\r\nFrom y Mon Nov  3 10:00:00 2025\nSubject: y\n\nz\nFrom z\n"
        )
        self.assertEqual(import_mbox(self.archive, IN, path), 2)
        self.assertEqual({one.flags for one in self.archive.list(IN)}, {Flag.SEEN, Flag.NONE})
        path.write_bytes(b"Subject: no mbox\n\n")
        self.assertRaises(ArchiveError, import_mbox, self.archive, IN, path)
        self.assertRaises(ArchiveError, import_mbox, self.archive, IN, Path(os.devnull))

    def test_many_messages_are_kept_in_portions(self) -> None:
        path = self.folder() / "mbox"
        path.write_bytes(b"From x\nSubject: y\n\nz\n\n" * 501)
        told: list[int] = []
        self.assertEqual(import_mbox(self.archive, IN, path, told.append), 501)
        self.assertEqual((told, self.archive.folders()[0].messages), ([500, 501], 501))
