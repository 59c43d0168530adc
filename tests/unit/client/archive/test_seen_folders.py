"""Moves and deletions of messages as the caller saw them, while another program moves them."""

from __future__ import annotations

from emailsys.client.archive.values import TRASH, Folder
from tests.unit.client.archive.test_archive import ME, ArchiveCase, message


class SeenFolderTests(ArchiveCase):
    def test_the_folder_that_was_displayed_decides_what_delete_does(self) -> None:
        """Another program, or the first of two keys, moves the message between the look at it and the second."""
        key = self.keep(message())
        seen = self.archive.get(key)
        self.assertEqual(self.archive.delete([seen]), [seen])
        self.assertEqual(self.archive.delete([seen]), [])
        self.assertEqual(self.archive.get(key).folder.name, TRASH)
        in_trash = self.archive.get(key)
        self.archive.move([key], Folder(ME, "Archive"))
        self.assertEqual(self.archive.delete([in_trash]), [])
        self.assertEqual(self.archive.get(key).folder.name, "Archive")

    def test_a_message_moves_only_from_the_folder_that_the_caller_saw(self) -> None:
        """What another program has moved or deleted since then is left alone."""
        moved, elsewhere, gone = [self.archive.get(self.keep(message(name))) for name in ("a", "b", "c")]
        self.archive.move([elsewhere.key], Folder(ME, "Archive"))
        self.archive.purge([gone.key])
        self.assertEqual(self.archive.move_seen([moved, elsewhere, gone], Folder(ME, TRASH)), [moved])
        self.assertEqual(self.archive.get(elsewhere.key).folder.name, "Archive")
        self.assertEqual(self.archive.folder_before_trash(moved.key), "Inbox")
