"""Every place that makes a folder for what must last syncs each new name in the folder above it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.client.base.folders import make_folder
from emailsys.client.mailbox import MailboxPaths, UserMailbox
from emailsys.config.settings import StoreSettings
from emailsys.store.engine.file_locks import make_directory
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.supervisor import make_state_folder
from emailsys.telemetry import Telemetry


class SyncedFolderTests(TestCase):
    """A folder whose name is not on disk takes all that is in it along when the power goes."""

    def synced_by(self, make: Callable[[Path], object]) -> None:
        """`make` makes base/a/b; the names a and b are synced, in that order."""
        base = Path(self.mktemp()).resolve()
        base.mkdir()
        synced: list[str] = []
        sync = os.fsync

        def noted(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            sync(descriptor)

        self.patch(os, "fsync", noted)
        make(base / "a" / "b")
        self.assertTrue((base / "a" / "b").is_dir())
        above = [path for path in dict.fromkeys(synced) if path in (str(base), str(base / "a"))]
        self.assertEqual(above, [str(base), str(base / "a")])

    def test_the_supervisor(self) -> None:
        self.synced_by(make_state_folder)

    def test_the_store(self) -> None:
        async def nothing(store: Store) -> None:
            return None

        self.synced_by(lambda folder: run_offline(StoreSettings(), folder, nothing, Telemetry(), create=True))

    def test_the_certificates(self) -> None:
        self.synced_by(lambda folder: pki.ensure_development_ca(folder, ["mail.example.test"], now=datetime.now(UTC)))

    def test_the_local_store_of_the_client(self) -> None:
        def make(folder: Path) -> None:
            folders = MailboxPaths(folder / "accounts.toml", folder / "mail", folder / "state")
            UserMailbox(folders, lambda: datetime.now(UTC)).archive.close()

        self.synced_by(make)

    def made_again_by(self, make: Callable[[Path], object]) -> None:
        """`make` fails when it syncs the name of base/a/b. The next time, it makes the folder and syncs the name."""
        base = Path(self.mktemp()).resolve()
        base.mkdir()
        folder = base / "a" / "b"
        synced: list[str] = []
        faults = [OSError(errno.EIO, os.strerror(errno.EIO))]

        def sync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if faults and path == str(folder.parent):
                raise faults.pop()
            synced.append(path)

        self.patch(os, "fsync", sync)
        self.assertRaises(OSError, make, folder)
        self.assertFalse(folder.exists())
        self.assertEqual(synced, [str(base)])
        make(folder)
        self.assertTrue(folder.is_dir())
        self.assertEqual(synced, [str(base), str(folder.parent)])

    def test_a_folder_whose_name_was_not_synced_is_made_again(self) -> None:
        """A second attempt that found it would not sync its name."""
        for make in (make_directory, make_folder):
            self.made_again_by(make)

    def test_a_folder_that_is_there_is_left_as_it_is(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(mode=0o755)
        make_directory(folder)
        self.assertEqual(folder.stat().st_mode & 0o777, 0o755)

    def test_a_file_in_its_place_is_an_error(self) -> None:
        file = Path(self.mktemp())
        file.touch()
        self.assertRaises(FileExistsError, make_directory, file)
        self.assertRaises(OSError, make_directory, file / "below")
