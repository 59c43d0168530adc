"""Locks between processes, and the file systems on which they hold."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreError
from emailsys.store.engine import sqlite
from emailsys.store.engine.file_locks import ByteLocks, network_file_system
from emailsys.store.maildrop.locks import KernelLocks

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /srv/mail nfs4 rw 0 0
//server/share /srv/with\\040space cifs rw 0 0
user@host:/ /home/user/remote fuse.sshfs rw 0 0
tmpfs /srv/mail/local tmpfs rw 0 0
/dev/vdb /srv/over ext4 rw 0 0
server:/over /srv/over nfs rw 0 0
short
"""


class NetworkFileSystemTests(SynchronousTestCase):
    """SQLite on a network file system can lose mail, so it is refused there."""

    def test_a_store_on_a_local_disk_is_welcome(self) -> None:
        for path in ("/var/lib/emailsys", "/srv/mail/local/x", "/srv/mailbox", "/"):
            self.assertIsNone(network_file_system(Path(path), MOUNTS), path)

    def test_a_store_on_a_network_file_system_is_named_as_such(self) -> None:
        for path, kind in (
            ("/srv/mail", "nfs4"),
            ("/srv/mail/deep/down", "nfs4"),
            ("/srv/with space/x", "cifs"),
            ("/home/user/remote/x", "fuse.sshfs"),
            ("/srv/over/x", "nfs"),
        ):
            self.assertEqual(network_file_system(Path(path), MOUNTS), kind)

    def test_this_machines_own_mounts_are_read(self) -> None:
        self.assertIsNone(network_file_system(Path("/dev")))

    def test_the_store_is_not_opened_there(self) -> None:
        self.patch(sqlite, "network_file_system", lambda path: "nfs4")
        folder = Path(self.mktemp())
        folder.mkdir()
        error = self.assertRaises(StoreError, sqlite.SQLite, folder / "mail.sqlite")
        self.assertIn("nfs4", str(error))
        self.assertEqual(list(folder.iterdir()), [])

    def test_a_folder_that_is_missing_is_told_in_words(self) -> None:
        error = self.assertRaises(StoreError, sqlite.SQLite, Path(self.mktemp()) / "mail.sqlite")
        self.assertIn("there is no store in", str(error))


class ByteLockTests(SynchronousTestCase):
    """One lock file, opened twice as if by two processes."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.one, self.other = ByteLocks(self.path), ByteLocks(self.path)
        self.addCleanup(self.one.close)

    def test_a_maildrop_is_locked_by_one_process_at_a_time(self) -> None:
        self.addCleanup(self.other.close)
        account = (1 << 63) - 2
        self.assertTrue(self.one.try_lock(account))
        self.assertFalse(self.other.try_lock(account))
        self.assertTrue(self.other.is_locked(account))
        self.assertTrue(self.other.try_lock(account - 1))
        self.one.unlock(account)
        self.assertTrue(self.other.try_lock(account))

    def test_the_end_of_a_process_gives_its_locks_back(self) -> None:
        self.assertTrue(self.other.try_lock(5))
        self.assertTrue(self.one.is_locked(5))
        self.other.close()
        self.assertFalse(self.one.is_locked(5))

    def test_each_process_bears_a_number_of_its_own(self) -> None:
        self.other.close()
        first, second = KernelLocks(self.path), KernelLocks(self.path)
        self.addCleanup(second.close)
        self.assertEqual((first.node, second.node), (0, 1))
        self.assertTrue(second.is_node_alive(0))
        self.assertTrue(second.is_node_alive(1))
        first.close()
        self.assertFalse(second.is_node_alive(0))

    def test_too_many_processes_are_refused(self) -> None:
        for node in range(1024):
            self.one.try_lock(node)
        self.addCleanup(self.other.close)
        self.assertRaises(StoreError, KernelLocks, self.path)
