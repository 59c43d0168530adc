"""Locks of files and of octets: the same promises on Linux, macOS and Windows."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.platforms.locks import IS_HELD, FileLocks, LinuxLocks, ProcessLocks, WindowsLocks, locks_of_this_system
from tests.fakes.msvcrt import Locking


class LockCase:
    """What each system has to keep; two descriptors stand for two programs."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())  # type: ignore[attr-defined]
        self.path.write_bytes(b"4711\n")
        self.locks = self.make_locks(importlib.import_module("fcntl"))
        self.ours, self.theirs = self.open(), self.open()

    def make_locks(self, fcntl: Any) -> FileLocks:
        return LinuxLocks(fcntl)

    def open(self) -> int:
        descriptor = os.open(self.path, os.O_RDWR)
        self.addCleanup(self.close, descriptor)  # type: ignore[attr-defined]
        return descriptor

    def read(self, descriptor: int) -> bytes:
        return os.read(descriptor, 20)

    def close(self, descriptor: int) -> None:
        try:
            self.locks.close(descriptor)
        except OSError:
            return

    def test_a_locked_file_cannot_be_locked_by_another(self) -> None:
        check: Any = self
        self.locks.lock(self.ours, wait=False)
        check.assertRaises(IS_HELD, self.locks.lock, self.theirs, wait=False)
        check.assertTrue(self.locks.is_locked(self.theirs))
        self.locks.unlock(self.ours)
        check.assertFalse(self.locks.is_locked(self.theirs))
        self.locks.lock(self.theirs, wait=True)

    def test_a_locked_file_still_tells_its_holder(self) -> None:
        """The process that holds a lock stands in the file, at its start."""
        check: Any = self
        self.locks.lock(self.ours, wait=False)
        check.assertEqual(self.read(self.theirs), b"4711\n")
        check.assertEqual(self.read(self.ours), b"4711\n")

    def test_each_octet_has_a_lock(self) -> None:
        check: Any = self
        self.locks.lock_range(self.ours, 7)
        self.locks.lock_range(self.theirs, 8)
        check.assertRaises(IS_HELD, self.locks.lock_range, self.theirs, 7)
        check.assertTrue(self.locks.is_range_locked(self.theirs, 7))
        check.assertFalse(self.locks.is_range_locked(self.theirs, 9))

    def test_the_holder_of_an_octet_gets_it_again_and_is_not_told_of_its_own_lock(self) -> None:
        check: Any = self
        self.locks.lock_range(self.ours, 7)
        self.locks.lock_range(self.ours, 7)
        check.assertFalse(self.locks.is_range_locked(self.ours, 7))
        self.locks.unlock_range(self.ours, 7)
        self.locks.lock_range(self.theirs, 7)

    def test_a_release_without_the_lock_keeps_the_lock_of_another(self) -> None:
        check: Any = self
        self.locks.lock_range(self.ours, 7)
        self.locks.unlock_range(self.theirs, 7)
        check.assertTrue(self.locks.is_range_locked(self.theirs, 7))

    def test_a_closed_file_has_no_locks(self) -> None:
        self.locks.lock(self.ours, wait=False)
        self.locks.lock_range(self.ours, 7)
        self.locks.lock_range(self.ours, 1 << 29)
        self.locks.close(self.ours)
        self.locks.lock(self.theirs, wait=False)
        self.locks.lock_range(self.theirs, 7)
        self.locks.lock_range(self.theirs, 1 << 29)

    def test_ids_of_accounts_are_far_apart(self) -> None:
        """An id has up to 63 bits."""
        check: Any = self
        self.locks.lock_range(self.ours, (1 << 62) + 5)
        check.assertRaises(IS_HELD, self.locks.lock_range, self.theirs, (1 << 62) + 5)
        self.locks.lock_range(self.theirs, (1 << 62) + 6)


class LinuxTests(LockCase, SynchronousTestCase):
    """flock, and locks of open files."""

    def test_linux_uses_locks_of_open_files(self) -> None:
        self.assertIsInstance(locks_of_this_system(), LinuxLocks)
        self.assertTrue(self.locks.can_share)

    def test_a_range_is_shared(self) -> None:
        """As the connections of SQLite share theirs."""
        self.locks.lock_range(self.ours, 100, 50, is_shared=True)
        self.locks.lock_range(self.theirs, 100, 50, is_shared=True)
        self.assertRaises(IS_HELD, self.locks.lock_range, self.theirs, 100, 50)


class MacTests(LockCase, SynchronousTestCase):
    """flock, and locks of processes with a table; on Linux' own lockf."""

    def make_locks(self, fcntl: Any) -> FileLocks:
        return ProcessLocks(fcntl)

    def test_without_locks_of_open_files_those_of_the_process_are_used(self) -> None:
        self.patch(sys, "platform", "darwin")
        self.assertIs(type(locks_of_this_system()), ProcessLocks)


class WindowsTests(LockCase, SynchronousTestCase):
    """`msvcrt.locking`, on a fake that refuses what Windows refuses."""

    def make_locks(self, fcntl: Any) -> FileLocks:
        self.pauses: list[float] = []
        self.msvcrt = Locking(fcntl)
        return WindowsLocks(self.msvcrt, self.pause)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 3:
            self.locks.unlock(self.ours)

    def read(self, descriptor: int) -> bytes:
        return self.msvcrt.read(descriptor, 20)

    def test_a_lock_is_waited_for(self) -> None:
        """The C runtime itself gives up after ten seconds."""
        self.locks.lock(self.ours, wait=True)
        self.locks.lock(self.theirs, wait=True)
        self.assertEqual(len(self.pauses), 3)
        self.assertTrue(self.locks.is_locked(self.ours))

    def test_the_position_in_the_file_stays(self) -> None:
        """A lock begins at the position; what is written next must not land there."""
        os.lseek(self.ours, 2, os.SEEK_SET)
        self.locks.lock(self.ours, wait=False)
        self.locks.lock_range(self.ours, 1000)
        self.assertEqual(os.read(self.ours, 2), b"11")

    def test_the_position_stays_where_a_lock_is_refused(self) -> None:
        """Else the process that asks would read the name of the holder from behind the end."""
        self.locks.lock(self.ours, wait=False)
        os.lseek(self.theirs, 2, os.SEEK_SET)
        self.assertRaises(IS_HELD, self.locks.lock, self.theirs, wait=False)
        self.assertEqual(self.read(self.theirs), b"11\n")

    def test_two_ids_that_share_an_octet_exclude_each_other(self) -> None:
        """The second login is told that its maildrop is in use, rather than two sharing one lock."""
        self.locks.lock_range(self.ours, 5)
        self.assertRaises(IS_HELD, self.locks.lock_range, self.ours, (1 << 30) + 5)
        self.locks.unlock_range(self.ours, (1 << 30) + 5)
        self.assertTrue(self.locks.is_range_locked(self.theirs, 5))

    def test_no_id_gives_back_the_lock_of_the_whole_file(self) -> None:
        """The octet of the whole file has a number that an id could have, too."""
        whole = 0x7FFF_FFF0
        self.locks.lock(self.ours, wait=False)
        self.locks.lock_range(self.ours, whole)
        self.locks.unlock_range(self.ours, whole)
        self.assertTrue(self.locks.is_locked(self.theirs))
        self.locks.lock_range(self.theirs, whole)

    def test_a_release_without_a_lock_does_nothing(self) -> None:
        """As on the other systems; Windows itself refuses it."""
        self.locks.unlock(self.ours)
        self.locks.unlock_range(self.ours, 7)
        self.locks.lock(self.theirs, wait=False)

    def test_a_lock_ends_with_its_file_even_if_it_is_not_given_back(self) -> None:
        """A process that dies gives nothing back. The number of its descriptor is then that of another file."""
        self.msvcrt.locking(self.ours, self.msvcrt.LK_NBLCK, 1)
        self.assertRaises(PermissionError, self.read, self.theirs)
        os.close(self.ours)
        self.assertEqual(self.read(self.theirs), b"4711\n")

    def test_a_probe_of_one_thread_refuses_no_lock_to_another(self) -> None:
        """Windows tells of a lock only by granting it. Without order, a login would find its maildrop in use."""
        probed, locked = threading.Event(), threading.Event()
        refused: list[BaseException] = []

        def lock() -> None:
            probed.wait()
            try:
                self.locks.lock_range(self.theirs, 7)
            except OSError as error:
                refused.append(error)
            locked.set()

        class Slow(Locking):
            """Another thread runs while a probe has the lock."""

            def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
                super().locking(fd, mode, nbytes)
                if not probed.is_set():
                    probed.set()
                    locked.wait(0.05)

        self.locks = WindowsLocks(Slow(importlib.import_module("fcntl")))
        thread = threading.Thread(target=lock)
        thread.start()
        self.assertFalse(self.locks.is_range_locked(self.ours, 7))
        thread.join()
        self.assertEqual(refused, [])
