"""Names of folders that are one on some file systems are one in the store."""

from __future__ import annotations

import os
from pathlib import Path

from emailsys.client.archive import reconcile
from emailsys.client.archive.values import ArchiveError, Folder
from tests.unit.client.archive.test_archive import ME, ArchiveCase, message


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

    def test_a_folder_gets_another_case_where_the_file_system_ignores_case(self) -> None:
        """Its messages keep their keys and tags, and their files their names."""
        self.archive.add_folder(Folder(ME, "Lists"))
        key = self.keep(message(), Folder(ME, "Lists"))
        self.archive.set_tags([key], add=["t"])
        name = self.archive.path(key).name
        os.rename(self.root / ME / "Lists", self.root / ME / "lists")
        usual = reconcile.folder_path

        def ignoring_case(root: Path, folder: Folder) -> Path:
            return usual(root, Folder(folder.account, "lists" if folder.name == "Lists" else folder.name))

        self.patch(reconcile, "folder_path", ignoring_case)
        self.archive.refresh()
        self.assertEqual([*(self.root / ME / "lists").iterdir()], [self.root / ME / "lists" / name])
        self.assertEqual((self.archive.get(key).folder.name, self.archive.get(key).tags), ("lists", ("t",)))
        self.assertEqual(self.archive.reports, [])
        self.assertNotIn("Lists", [count.folder.name for count in self.archive.folders()])
