"""Folders that vanish, or that cannot be read: the index is made to agree, it is said once, and the rest works."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
from typing import Any

from emailsys.client.archive import reconcile
from emailsys.client.archive.values import DRAFTS, INBOX, Addition, Folder
from tests.unit.client.archive.test_archive import IN, ME, ArchiveCase, message, remove_file

PROJECTS = Folder(ME, "Projects")


class Vanishing(ArchiveCase):
    """A message in Inbox, one in Projects, and an empty folder."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("Projects", "Empty"):
            self.archive.add_folder(Folder(ME, name))
        self.kept = self.archive.add(Addition(message("kept"), IN))
        self.lost = self.archive.add(Addition(message("lost", day=2), PROJECTS))
        self.archive.set_tags([self.lost], ["money"])

    def names(self) -> set[str]:
        return {count.folder.name for count in self.archive.folders(ME)}

    def works(self, *subjects: str) -> None:
        """Listing, searching, marking, moving, and adding work, with these messages only."""
        self.archive.refresh()
        self.assertEqual(self.subjects("-is:trash"), list(subjects))
        self.archive.set_flags([self.kept])
        self.archive.move([self.kept], Folder(ME, DRAFTS))
        self.archive.move([self.kept], Folder(ME, INBOX))
        self.archive.purge([self.archive.add(Addition(message("new"), IN))])

    def test_a_removed_folder_leaves_the_index_and_is_reported_once(self) -> None:
        """Also by a program that has the store open, and by the rebuild of the index."""
        for name in ("Projects", "Empty"):
            shutil.rmtree(self.root / ME / name)
        self.works("kept")
        self.assertNotIn("Projects", self.names())
        self.assertNotIn("Empty", self.names())
        (report,) = self.archive.reports
        self.assertIn(f"{self.root / ME / 'Projects'} is gone, with 1 message", report)
        self.assertEqual(self.archive.rebuild(), 1)
        self.works("kept")
        self.assertEqual(len(self.archive.reports), 1)
        self.archive.add_folder(PROJECTS)
        self.archive.move([self.kept], PROJECTS)

    def test_a_removed_file_is_reported(self) -> None:
        remove_file(self.archive.path(self.lost))
        self.works("kept")
        self.assertIn("1 message in", self.archive.reports[0])

    def test_a_renamed_folder_takes_its_messages_along(self) -> None:
        """Nothing is gone: the tag stays, and nothing is told."""
        os.rename(self.root / ME / "Projects", self.root / ME / "Plans")
        self.works("lost", "kept")
        self.assertEqual(self.archive.get(self.lost).folder.name, "Plans")
        self.assertEqual((self.archive.get(self.lost).tags, self.archive.reports), (("money",), []))

    def test_something_else_in_the_place_of_a_folder(self) -> None:
        """A file or a dangling link in place of a standard folder: the account's other folders work."""
        for number, put in enumerate((lambda path: path.touch(), lambda path: path.symlink_to("/nowhere"))):
            path = self.root / ME / ("Sent", "Archive")[number]
            shutil.rmtree(path)
            put(path)
            self.archive.add_account(ME)
            self.works("lost", "kept")
            self.assertIn(f"{path} cannot be made", self.archive.reports[-1])

    def test_a_folder_that_cannot_be_read_keeps_its_messages_in_the_index(self) -> None:
        """They may be there. Their tags outlast a rebuild, and they are found again when it can be read."""
        names = reconcile._message_names

        def refuse(path: object) -> set[str]:
            if os.path.basename(str(path)) == "Projects":
                raise PermissionError(13, "Permission denied", str(path))
            return names(path)  # type: ignore[arg-type]

        self.patch(reconcile, "_message_names", refuse)
        os.utime(self.root / ME / "Projects", (1, 1))
        self.works("lost", "kept")
        (report,) = self.archive.reports
        self.assertIn("cannot be read: Permission denied", report)
        # It is said once, not at each look.
        self.archive.reports.clear()
        self.archive.refresh()
        self.archive.refresh()
        self.assertEqual(self.archive.reports, [])
        self.assertEqual(self.archive.rebuild(), 1)
        self.works("kept")
        self.patch(reconcile, "_message_names", names)
        self.works("lost", "kept")
        self.assertEqual(self.archive.get(self.lost).tags, ("money",))

    def refuse_to_open(self, ending: str) -> list[str]:
        """Let files with this ending fail as on a bad disk, or without a free descriptor. Return those that failed."""
        really = builtins.open
        failed: list[str] = []

        def refuse(file: Any, *arguments: Any, **named: Any) -> Any:
            if str(file).endswith(ending):
                failed.append(str(file))
                raise OSError(errno.EIO, "Input/output error", str(file))
            return really(file, *arguments, **named)

        self.opening = self.patch(builtins, "open", refuse)
        return failed

    def test_a_message_that_cannot_be_read_keeps_its_marks_and_is_found_later(self) -> None:
        """Also by the rebuild of the index, which drops the marks of messages that are gone."""
        name = self.archive.path(self.lost).name
        self.refuse_to_open(name)
        self.assertEqual(self.archive.rebuild(), 1)
        (report,) = self.archive.reports
        self.assertIn(f"1 message in {self.root / ME / 'Projects'} cannot be read: {name}: Input/output error", report)
        self.works("kept")
        # It is said once, and a look at the folder changes nothing.
        version = self.archive.refresh()
        self.assertEqual(self.archive.refresh(), version)
        self.assertEqual(self.archive.reports, [report])
        self.opening.restore()
        self.works("lost", "kept")
        self.assertEqual(self.archive.get(self.lost).tags, ("money",))

    def test_new_mail_that_cannot_be_read_at_once_is_found_later(self) -> None:
        """It is whole on disk, so the fetch has succeeded."""
        failed = self.refuse_to_open(".eml")
        with self.archive.writer(lambda: 0.0) as adding:
            adding.add([Addition(message("late", day=3), IN)])
        self.assertEqual(len(failed), 1)
        self.opening.restore()
        self.works("late", "lost", "kept")
