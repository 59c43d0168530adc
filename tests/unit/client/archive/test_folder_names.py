"""Names of folders that are one on some file systems are one in the store."""

from __future__ import annotations

from emailsys.client.archive.values import ArchiveError, Folder
from tests.unit.client.archive.test_archive import ME, ArchiveCase


class NameTests(ArchiveCase):
    def test_names_are_nfc_and_differ_in_more_than_case(self) -> None:
        """On some file systems, "Büro", "büro" and its decomposed form are one folder."""
        composed, decomposed = "B\u00fcro", "Bu\u0308ro"
        self.assertEqual(self.archive.add_folder(Folder(ME, decomposed)), Folder(ME, composed))
        self.assertEqual(self.archive.add_folder(Folder(ME, decomposed)), Folder(ME, composed))
        for name in ("b\u00fcro", "BU\u0308RO", "trash"):
            with self.assertRaisesRegex(ArchiveError, "already exists. Names must differ in more than case"):
                self.archive.add_folder(Folder(ME, name))
        self.archive.add_folder(Folder(ME, "Other"))
        with self.assertRaisesRegex(ArchiveError, "already exists"):
            self.archive.rename_folder(Folder(ME, "Other"), "b\u00fcro")
        self.archive.rename_folder(Folder(ME, composed), "bu\u0308ro")
        self.assertTrue(self.archive.has_folder(Folder(ME, "b\u00fcro")))
