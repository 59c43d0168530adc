"""The index of the local store."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index import Index, open_index
from emailsys.client.archive.values import Addition, ArchiveFull, Flag
from tests.unit.client.archive.test_archive import IN, ME, ArchiveCase, message


class ConnectionTests(SynchronousTestCase):
    """The connections of an index."""

    def test_a_statement_under_way_ends_with_its_result(self) -> None:
        """One thread closes the index while another uses it, as at the end of the program."""
        index = open_index(Path(self.mktemp()))
        entered, released = threading.Event(), threading.Event()
        found: list[object] = []

        def wait() -> int:
            entered.set()
            return int(released.wait(60))

        def read() -> None:
            index.connection.create_function("wait", 0, wait)
            found.extend(index.connection.execute("SELECT wait()").fetchone())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            self.assertTrue(entered.wait(60))
            index.close()
        finally:
            released.set()
            reader.join()
        self.assertEqual(found, [1])

    def test_an_index_that_cannot_be_opened_is_one_error(self) -> None:
        """Python prints a traceback for an exception in `__del__`."""
        unraisable: list[object] = []
        self.patch(sys, "unraisablehook", unraisable.append)
        self.assertRaises(sqlite3.OperationalError, open_index, Path(self.mktemp()) / "missing" / "index")
        self.assertEqual(unraisable, [])


class SpaceTests(ArchiveCase):
    """The space that the index takes, and the numbers of its messages."""

    def test_an_index_of_another_version_gives_back_its_space(self) -> None:
        self.keep(message())
        self.archive.close()
        index = self.root / "index.sqlite"
        connection = sqlite3.connect(index)
        connection.execute("CREATE TABLE people_of_before AS SELECT hex(randomblob(1000000)) AS many")
        connection.commit()
        connection.execute("DROP TABLE people_of_before")
        connection.execute("PRAGMA user_version = 4")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        before = index.stat().st_size
        self.archive = self.opened()
        self.assertGreater(before, 1_000_000)
        self.assertLess(index.stat().st_size, 200_000)

    def test_more_messages_of_one_second_than_numbers_keep_their_date(self) -> None:
        octets = message()
        keys = self.archive.add_many([Addition(octets, IN, f"{number}") for number in range(1_500)])
        listed = self.archive.list(IN, 2_000)
        self.assertEqual({one.key for one in listed}, set(keys))
        self.assertEqual({one.date for one in listed}, {datetime(2026, 11, 1, 10, tzinfo=UTC)})
        self.assertEqual(len({one.order for one in listed}), 1_500)
        self.assertLess(max(one.order for one in listed) - min(one.order for one in listed), 16 << 10)

    def test_the_index_of_many_words_is_smaller_than_twice_the_mail(self) -> None:
        words = [f"{prefix}{number}" for prefix in ("ab", "cd", "ef") for number in range(100, 200)]
        octets = [
            message(f"number {number}", " ".join(words[(number * 7 + at * 11) % 300] for at in range(250)), day=day)
            for number in range(300)
            for day in [1 + number % 20]
        ]
        self.archive.add_many([Addition(one, IN, f"{number}") for number, one in enumerate(octets)])
        self.archive.rebuild()
        self.assertLess((self.root / "index.sqlite").stat().st_size, 1.8 * sum(map(len, octets)))
        self.assertEqual(len(self.archive.search("ab1*", limit=1_000)), 300)
        self.assertEqual(len(self.archive.search('"number 17"')), 1)

    def test_unread_messages_are_counted_without_reading_the_others(self) -> None:
        """With 100,000 messages, it is the time until the full screen shows something."""
        traced: list[str] = []
        connection = self.archive._index.connection
        connection.set_trace_callback(traced.append)
        self.archive.folders()
        connection.set_trace_callback(None)
        (statement,) = (one for one in traced if "count(*)" in one)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        self.assertTrue(any("USING INDEX messages_unread" in step for step in plan), plan)
        self.assertFalse(any("m USING INDEX messages_folder" in step or "SCAN m" in step for step in plan), plan)

    def test_a_connection_that_only_reads_takes_little_memory(self) -> None:
        read: list[int] = []
        reader = threading.Thread(
            target=lambda: read.extend(self.archive._index.connection.execute("PRAGMA cache_size").fetchone())
        )
        reader.start()
        reader.join()
        self.assertEqual(read, [-8192])
        self.assertEqual(self.archive._index.connection.execute("PRAGMA cache_size").fetchone(), (-32768,))


class FullDiskTests(ArchiveCase):
    """A full disk stops writing, never reading. Then SQLite can write neither the index nor the files beside it."""

    def setUp(self) -> None:
        super().setUp()
        self.is_full = True
        self.key = self.keep(message())
        self.archive.close()
        connect = Index._connect

        def connected(index: Index) -> sqlite3.Connection:
            if self.is_full and not index.reads_only:
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return connect(index)

        self.patch(Index, "_connect", connected)
        self.archive = self.opened()

    def test_mail_is_listed_searched_and_read_and_the_user_is_told(self) -> None:
        self.assertEqual([one.key for one in self.archive.list(IN)], [self.key])
        self.assertEqual([one.key for one in self.archive.search("hello")], [self.key])
        self.assertEqual(self.archive.octets(self.key), message())
        self.assertEqual(self.archive.refresh(), 0)
        self.assertEqual(len(self.archive.reports), 1)
        self.assertIn("The disk is full. Mail can be read", self.archive.reports[0])

    def test_changes_are_refused_until_there_is_space(self) -> None:
        self.assertRaises(ArchiveFull, self.archive.set_flags, [self.key], Flag.SEEN)
        self.assertRaises(ArchiveFull, self.archive.rebuild)
        self.assertEqual(len(self.archive.list(IN)), 1)
        self.is_full = False
        self.archive.set_flags([self.key], Flag.SEEN)
        self.assertEqual(self.archive.get(self.key).flags, Flag.SEEN)

    def test_a_disk_that_fills_up_later_stops_no_reading(self) -> None:
        self.is_full = False
        self.archive.refresh()
        (self.root / ME / "Inbox" / "new.eml").write_bytes(message("two"))

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "rename", fail)
        self.patch(Index, "insert", fail)
        self.archive.refresh()
        self.assertEqual([one.key for one in self.archive.list(IN)], [self.key])


class MarkTests(ArchiveCase):
    """The marks of messages that are indexed together."""

    def test_messages_of_a_batch_have_their_own_marks(self) -> None:
        additions = (
            Addition(message("0"), IN, "batch:0", Flag.SEEN, ("b", "a")),
            Addition(message("1"), IN, "batch:1"),
            Addition(message("2"), IN, "batch:2", note={"due": 1}),
            Addition(message("3"), IN, "batch:3", Flag.FLAGGED),
            Addition(message("4"), IN, "batch:4", tags=("a",)),
        )
        keys = self.archive.add_many(additions)
        for _rebuilt in range(2):
            found = [self.archive.get(key) for key in keys]
            self.assertEqual([one.flags for one in found], [one.flags for one in additions])
            self.assertEqual([one.tags for one in found], [("a", "b"), (), (), (), ("a",)])
            self.assertEqual([self.archive.note(key) for key in keys], [None, None, {"due": 1}, None, None])
            self.archive.rebuild()

    def test_tags_of_an_older_message_with_the_same_key_are_replaced(self) -> None:
        """Another program may remove a file after this one has written tags of it to the index."""
        addition = Addition(message(), IN, "again", Flag.SEEN)
        key = self.archive.add(addition)
        self.archive.purge([key])
        index = Index(self.root / "index.sqlite")
        self.addCleanup(index.close)
        with index.transaction() as connection:
            connection.execute("INSERT INTO tags VALUES ('old', ?)", (key,))
            connection.execute("INSERT INTO notes VALUES (?, '{}')", (key,))
        self.assertEqual(self.archive.add(addition), key)
        self.assertEqual((self.archive.get(key).tags, self.archive.note(key)), ((), None))
