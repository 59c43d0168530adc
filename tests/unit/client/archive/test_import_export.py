"""Mail comes from other programs and goes to them, octet by octet where their files allow it."""

from __future__ import annotations

import errno
import mailbox
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.import_export import (
    Importer,
    export_eml,
    export_maildir,
    export_mbox,
)
from emailsys.client.archive.index_entry import moment_of
from emailsys.client.archive.mbox import mbox_messages, status_flags
from emailsys.client.archive.values import Addition, ArchiveFull, Flag, Folder, UnknownFormat
from tests.unit.client.archive.test_archive import IN, ArchiveCase, message

CASES: Final = Path(__file__).resolve().parents[3] / "data" / "cases"


class Exchange(ArchiveCase):
    def folder(self) -> Path:
        """A new folder."""
        folder = Path(self.mktemp())
        folder.mkdir()
        return folder

    def import_mbox(self, path: Path) -> int:
        """Import an mbox file; returns how many messages were added."""
        importing = Importer(self.archive, IN)
        importing.import_mbox(path)
        return importing.added

    def all_octets(self, archive: Archive) -> list[bytes]:
        """All messages of the Inbox, sorted."""
        return sorted(archive.octets(one.key) for one in archive.list(IN))

    def test_eml_files_go_out_and_come_in_unchanged(self) -> None:
        keys = [self.keep(octets) for octets in (message(), b"Subject: x\n\nlf\n", bytes(range(256)))]
        before = self.all_octets(self.archive)
        folder = self.folder()
        self.assertEqual(export_eml(self.archive, [*keys, keys[0]], folder), 4)
        self.assertEqual(len(list(folder.glob("*.eml"))), 4)
        self.archive.delete(map(self.archive.get, keys))
        paths = [path for path in sorted(folder.glob("*.eml")) if "(2)" not in path.name]
        importing = Importer(self.archive, IN)
        importing.import_eml(paths)
        self.assertEqual((importing.added, importing.already_stored, self.all_octets(self.archive)), (3, 0, before))
        importing = Importer(self.archive, IN)
        importing.import_eml([folder])
        self.assertEqual(
            (importing.added, importing.already_stored), (1, 3), "two files of the same octets are two messages"
        )

    def test_dates_that_no_calendar_has_do_not_end_an_import(self) -> None:
        """The year of the first is too large for C, and a day after the second is too large for Python."""
        path = self.folder() / "box"
        years = ("99999999999999999999", "9999")
        path.write_text("\n".join(f"From a Fri Dec 31 23:59:59 {year}\nSubject: {year}\n\nx\n" for year in years))
        self.assertEqual(self.import_mbox(path), 2)
        self.assertEqual({one.subject for one in self.archive.list(IN)}, set(years))
        self.assertEqual(moment_of(1e30).year, 1970)
        self.assertEqual(moment_of(float("inf")).year, 1970)

    def test_a_from_line_that_repeats_without_a_date_needs_no_empty_line_above_it(self) -> None:
        path = self.folder() / "box"
        one = "From - \nSubject: {}\n\nHello\nFrom -\nFrom - me to you\n"
        path.write_text(one.format(1) + one.format(2))
        self.assertEqual([octets.count(b"From -") for _, octets in mbox_messages(path)], [2, 2])
        dated = "From a Fri Dec 26 10:00:00 2025\nSubject: x\n\nHello\n"
        path.write_text(dated + dated)
        self.assertEqual(len(list(mbox_messages(path))), 1, "RFC 4155: it may be text")

    def test_a_maildir_keeps_its_flags_and_is_taken_in_once(self) -> None:
        folder = self.folder()
        key = self.archive.add(Addition(message(), IN, flags=Flag.SEEN | Flag.ANSWERED))
        self.assertEqual(export_maildir(self.archive, [key], folder / "box"), 1)
        (read,) = mailbox.Maildir(folder / "box")
        self.assertEqual((read.get_flags(), read["subject"]), ("RS", "one"))
        (folder / "box" / "new" / "x").write_bytes(message("new"))
        (folder / "box" / "new" / ".x").write_bytes(b"hidden")
        self.archive.delete([self.archive.get(key)])
        for counts in ((2, 0), (0, 2)):
            importing = Importer(self.archive, IN)
            importing.import_maildir(folder / "box")
            self.assertEqual((importing.added, importing.already_stored), counts)
        found = {one.subject: one.flags for one in self.archive.list(IN)}
        self.assertEqual(found, {"one": Flag.SEEN | Flag.ANSWERED, "new": Flag.NONE})
        self.assertRaises(UnknownFormat, Importer(self.archive, IN).import_maildir, folder)

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
        self.assertEqual(self.import_mbox(path), 2)

    def test_mboxes_of_other_programs_are_read(self) -> None:
        path = self.folder() / "mbox"
        path.write_bytes(
            b"From x\r\nStatus: RO\r\n\r\nbody\r\n\r\nFrom y Mon Nov  3 10:00:00 2025\nSubject: y\n\nz\nFrom z\n"
        )
        self.assertEqual(self.import_mbox(path), 2)
        self.assertEqual({one.flags for one in self.archive.list(IN)}, {Flag.SEEN, Flag.NONE})
        path.write_bytes(b"Subject: no mbox\n\n")
        self.assertRaises(UnknownFormat, self.import_mbox, path)
        self.assertEqual(self.import_mbox(Path(os.devnull)), 0)

    def test_a_line_that_begins_with_from_separates_only_with_a_date(self) -> None:
        """RFC 4155: the second From line of the first file is a sentence. The tables of other dialects follow."""
        self.assertEqual(len(list(mbox_messages(CASES / "mbox-from-in-body.mbox"))), 1)
        first = b"From a@x Mon Feb  2 10:00:00 2026\nSubject: one\n\ntext\n"
        path = self.folder() / "mbox"
        for second, count in (
            (b"\nFrom b@x Mon Feb  2 10:00:00 2026\nSubject: two\n\nx\n", 2),
            (b"\nFrom - Mon Feb 02 10:00:00 2026\nSubject: two\n\nx\n", 2),
            (b"\nFrom b@x Mon Feb  2 10:00 CET 2026\n>From c\nSubject: two\n\nx\n", 2),
            (b'\nFrom "b c"@x Mon, 2 Feb 2026 10:00:00 +0100\nSubject: two\n\nx\n', 2),
            (b"\nFrom uucp!b Mon Feb  2 10:00:00 2026 remote from host\nSubject: two\n\nx\n", 2),
            (b"\nFrom b@x Mon Feb  2 10:00:00 2026\nno field follows\n", 1),
            (b"From b@x Mon Feb  2 10:00:00 2026\nSubject: no empty line above\n", 1),
            (b"\nFrom 10:00 on, we meet.\nNote: bring tea\n", 1),
            (b"\nFrom Monday 2 February 2026 on\nNote: closed\n", 1),
        ):
            path.write_bytes(first + second)
            self.assertEqual(len(list(mbox_messages(path))), count, second)

    def test_a_body_whose_octets_are_counted_is_not_cut(self) -> None:
        """The dialects mboxcl and mboxcl2 do not quote From lines; a wrong count does not count."""
        body = b"text\n\nFrom b@x Mon Feb  2 10:00:00 2026\nSubject: quoted\n\nx\n"
        line = b"From a@x Mon Feb  2 10:00:00 2026\n"
        path = self.folder() / "mbox"
        for length, count in ((len(body), 2), (len(body) + 1, 2), (len(body) - 9, 3), (9_999, 3), (0, 3)):
            path.write_bytes(line + b"Content-Length: %d\n\n" % length + body + b"\n" + line + b"Subject: y\n\nz\n")
            self.assertEqual(len(list(mbox_messages(path))), count, length)

    def test_mboxes_tell_what_was_read_and_answered(self) -> None:
        for fields, flags in (
            (b"Status: RO\nX-Status: AF\n", Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED),
            (b"X-Mozilla-Status: 0003\n", Flag.SEEN | Flag.ANSWERED),
            (b"X-Mozilla-Status: 1004\nX-Mozilla-Status2: 00000000\n", Flag.FLAGGED | Flag.FORWARDED),
            (b"Status: O\nSubject: x\n\nStatus: R\n", Flag.NONE),
        ):
            self.assertEqual(status_flags(fields + b"\n"), flags, fields)

    def test_mmdf_is_refused_with_a_word(self) -> None:
        path = self.folder() / "mmdf"
        path.write_bytes(b"\x01\x01\x01\x01\nFrom: a@x\n\nx\n\x01\x01\x01\x01\n")
        refused = self.assertRaises(UnknownFormat, self.import_mbox, path)
        self.assertIn("in MMDF format, which is not supported", str(refused))

    def test_the_form_of_a_pipe_must_be_named(self) -> None:
        """Detecting it would take octets out of the pipe, and the message would be stored without its beginning."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        with open(writing, "wb") as file:
            file.write(b"Subject: piped\n\nx\n")
        importing, path = Importer(self.archive, IN), Path(f"/dev/fd/{reading}")
        refused = self.assertRaises(UnknownFormat, importing.import_path, path)
        self.assertIn("--form", str(refused))
        importing.import_path(path, "eml")
        self.assertEqual([one.subject for one in self.archive.list(IN)], ["piped"])

    if sys.platform == "win32":
        test_the_form_of_a_pipe_must_be_named.skip = "no /dev/fd"  # type: ignore[attr-defined]

    def test_the_subfolders_of_a_maildir_come_along(self) -> None:
        """Maildir++: a subfolder has a dot in front of its name, which IMAP servers write in modified UTF-7."""
        importing = Importer(self.archive, IN)
        importing.import_maildir(CASES / "maildir-plus-plus")
        self.assertEqual((importing.added, importing.by_subfolder), (2, {"Sent": 1}))
        box = self.folder() / "box"
        names = {".sent": "Sent", ".Arbeit.Gr&APwA3w-e": "Arbeit.Grüße", ".Outbox": "Outbox imported", ".A&-B": "A&B"}
        for name in ("cur", *(f"{name}/new" for name in names)):
            (box / name).mkdir(parents=True)
        for number, name in enumerate(names):
            (box / name / "new" / "same").write_bytes(message(f"m{number}"))
            (box / name / "cur").mkdir()
        (box / ".nothing").mkdir()
        for added in (4, 0):
            importing = Importer(self.archive, IN)
            importing.import_maildir(box)
            self.assertEqual((importing.added, sorted(importing.by_subfolder)), (added, sorted(names.values())))
        inner = Importer(self.archive, Folder(IN.account, "Old"))
        self.archive.add_folder(Folder(IN.account, "Old"))
        inner.import_maildir(box)
        self.assertIn("Old.Arbeit.Grüße", inner.by_subfolder)

    def test_maildirs_of_the_same_name_do_not_hide_each_other(self) -> None:
        """Both have a file of the same name. What an earlier version imported is still recognised."""
        tree = self.folder()
        for name in ("x", "y"):
            (tree / name / "Maildir" / "cur").mkdir(parents=True)
            (tree / name / "Maildir" / "cur" / "1.same:2,S").write_bytes(message(name))
        self.keep(message("x"), source=f"maildir:{IN.account}:Maildir:1.same")
        for counts in ((1, 1), (0, 2)):
            importing = Importer(self.archive, IN)
            importing.import_tree(tree)
            self.assertEqual((importing.added, importing.already_stored), counts)
        self.assertEqual(sorted(one.subject for one in self.archive.list(IN)), ["x", "y"])

    def test_a_file_that_cannot_be_read_does_not_end_an_import(self) -> None:
        tree = self.folder()
        for name in ("a.mbox", "z.mbox", "box/cur/1", "box/cur/2"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(b"From x Mon Jan  5 10:00:00 2026\nSubject: y\n\nz\n\n")
        (tree / "b.mbox").write_bytes(b"Subject: no mbox\n\n")
        (tree / "c.mbox").touch()
        (tree / "d.mbox").symlink_to("/nowhere")
        reading = Path.read_bytes

        def read(path: Path) -> bytes:
            if path.name == "1":
                raise OSError(errno.EACCES, "Permission denied", str(path))
            return reading(path)

        self.patch(Path, "read_bytes", read)
        importing = Importer(self.archive, IN)
        importing.import_tree(tree)
        self.assertEqual(importing.added, 3)
        self.assertEqual(
            [one.removeprefix(str(tree)) for one in importing.left_out],
            [
                "/b.mbox is not an mbox file: it does not start with a From line",
                "/d.mbox: No such file or directory",
                "/box/cur/1: Permission denied",
            ],
        )

    def test_many_messages_are_kept_in_portions(self) -> None:
        path = self.folder() / "mbox"
        path.write_bytes(b"From x\nSubject: y\n\nz\n\n" * 501)
        told: list[int] = []
        importing = Importer(self.archive, IN, told.append)
        importing.import_mbox(path)
        self.assertEqual((importing.added, told, self.archive.folders()[0].messages), (501, [500], 501))

    def test_an_import_that_is_cut_short_goes_on_where_it_stopped(self) -> None:
        """Whether the disk was full or the person pressed Ctrl-C; each message is here once at the end."""
        path = self.folder() / "mbox"
        path.write_bytes(b"".join(b"From x\nSubject: %d\n\nz\n\n" % (number // 2) for number in range(1200)))
        original = os.replace
        for number, (cause, raised) in enumerate(
            ((OSError(errno.ENOSPC, "No space left on device"), ArchiveFull), (KeyboardInterrupt(), KeyboardInterrupt))
        ):
            calls: list[object] = []

            def stopping(source: str, target: str, calls: list[object] = calls, cause: BaseException = cause) -> None:
                calls.append(target)
                if len(calls) == 550:
                    raise cause
                original(source, target)

            replacing = self.patch(os, "replace", stopping)
            importing = Importer(self.archive, IN)
            self.assertRaises(raised, importing.import_mbox, path)
            replacing.restore()
            self.assertEqual(importing.added + importing.already_stored, 500 * (number + 1))
        importing = Importer(self.archive, IN)
        importing.import_mbox(path)
        self.assertEqual(importing.added + importing.already_stored, 1200)
        subjects = Counter(one.subject for one in self.archive.list(IN, 2000))
        self.assertEqual(subjects, Counter({str(number): 2 for number in range(600)}))
