"""A message that this program fails to read stops neither its batch, nor a rebuild, nor a list."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive import index_entry, unreadable
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.index import Index
from emailsys.client.archive.values import INBOX, Addition, Folder
from emailsys.client.display import message
from emailsys.client.display.readable import readable_headers, readable_structure, readable_view

NOW: Final = datetime(2026, 11, 29, 12, tzinfo=UTC)
PLACE: Final = Folder("alice", INBOX)
GOOD: Final = b"Subject: good\r\n\r\nfine\r\n"
BAD: Final = b"Subject: bad\r\n\r\nsecret words\r\n"


class Planted(AttributeError):
    """An exception that nobody expected."""


class UnreadableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.archive = Archive(self.root, lambda: NOW)
        self.addCleanup(self.archive.close)
        self.archive.add_account("alice")

    def plant(self, where: Any, name: str) -> None:
        """Let a step raise at the bad message."""
        stock = getattr(where, name)

        def step(*arguments: Any, **named: Any) -> Any:
            for one in arguments:
                if one == BAD or (isinstance(one, list) and any(getattr(e, "octets", 0) == len(BAD) for e in one)):
                    if name == "insert" and all(entry.fields.preview.startswith("indexing") for entry in one):
                        continue
                    raise Planted(f"at {BAD!r}")
            return stock(*arguments, **named)

        self.patch(where, name, step)

    def add(self) -> list[str]:
        return self.archive.add_many([Addition(one, PLACE) for one in (GOOD, BAD, GOOD.replace(b"good", b"also good"))])

    def subjects(self) -> set[str]:
        return {one.subject for one in self.archive.list(PLACE)}

    def record(self) -> str:
        path = self.root / unreadable.RECORD
        return path.read_text("utf-8") if path.exists() else ""

    def test_a_header_that_cannot_be_read_gives_a_plain_file_name(self) -> None:
        self.plant(unreadable, "heading_of")
        # A fetch names messages by their headers, and reads the rest later.
        with self.archive.writer() as writer:
            keys = writer.add([Addition(one, PLACE) for one in (GOOD, BAD)])
        self.assertEqual(self.subjects(), {"good", "bad"})
        self.assertIn("unreadable message", self.archive.path(keys[1]).name)
        self.assertIn(f"{keys[1]} reading the header: Planted\n", self.record())

    def test_what_was_read_for_the_file_name_is_not_read_again_for_the_index(self) -> None:
        """Most of a fetch's cost is reading: of a header it is paid once."""
        stock = index_entry.heading_of
        read: list[bytes] = []

        def heading_of(octets: bytes, arrived: datetime) -> index_entry.Heading:
            read.append(octets)
            return replace(stock(octets, arrived), subject="as read first")

        self.patch(unreadable, "heading_of", heading_of)
        with self.archive.writer() as writer:
            keys = writer.add([Addition(one, PLACE) for one in (GOOD, BAD)])
        self.assertEqual(read, [GOOD, BAD])
        self.assertEqual(self.subjects(), {"as read first"})
        self.assertIn("unknown - as read first", self.archive.path(keys[0]).name)
        self.assertEqual([one.preview for one in map(self.archive.get, keys)], ["fine", "secret words"])

    def test_a_message_that_cannot_be_read_is_in_the_list_with_its_defect(self) -> None:
        self.plant(unreadable, "index_fields")
        keys = self.add()
        self.assertEqual(self.subjects(), {"good", "(unreadable message)", "also good"})
        self.assertIn("unknown - bad", self.archive.path(keys[1]).name)
        self.assertIn("reading the message failed with Planted", self.archive.get(keys[1]).preview)
        self.assertEqual(self.archive.octets(keys[1]), BAD)
        self.assertEqual(self.archive.rebuild(), 3)
        self.assertEqual(self.record().count("reading the message: Planted"), 1)

    def test_facts_that_the_index_refuses_are_left_out(self) -> None:
        self.plant(Index, "insert")
        keys = self.add()
        self.assertEqual(self.subjects(), {"good", "(unreadable message)", "also good"})
        self.archive.delete(map(self.archive.get, keys))
        self.assertEqual(self.subjects(), set())

    def test_a_view_that_fails_shows_the_octets(self) -> None:
        for name in ("view", "all_headers", "safe_structure"):
            self.plant(message, name)
        self.add()
        shown = readable_view(self.root, "k1", BAD)
        self.assertIn("secret words", shown.body)
        self.assertIn("showing the message failed with Planted", shown.defects[0])
        self.assertIn("Subject: bad", dict(readable_headers(self.root, "k1", BAD))["header"])
        self.assertIn("Planted", readable_structure(self.root, "k1", BAD)[0].defects[0])
        self.assertEqual(readable_view(self.root, "k2", GOOD), message.view(GOOD))

    def test_the_record_has_no_words_of_the_message_and_each_failure_once(self) -> None:
        for name in ("view", "all_headers"):
            self.plant(message, name)
        for _ in range(3):
            readable_view(self.root, "k1", BAD)
            readable_headers(self.root, "k1", BAD)
        self.assertEqual(self.record().count("Planted"), 2)
        self.assertNotIn("secret", self.record())
        self.assertEqual((self.root / unreadable.RECORD).stat().st_mode & 0o777, 0o600)

    def test_a_record_that_cannot_be_written_stops_nothing(self) -> None:
        (self.root / unreadable.RECORD).mkdir()
        self.assertEqual(unreadable.record(self.root, "reading", "k1", Planted()), "reading failed with Planted")
