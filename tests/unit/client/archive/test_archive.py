"""The local store keeps every message unchanged; messages are listed, searched, moved, and marked."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.changes import Changes
from emailsys.client.archive.files import key_of
from emailsys.client.archive.values import (
    DRAFTS,
    INBOX,
    SENT,
    STANDARD_FOLDERS,
    TRASH,
    Addition,
    ArchiveError,
    Flag,
    Folder,
    NoSuchFolder,
    NoSuchMessage,
)

ME: Final = "me@example.test"
IN: Final = Folder(ME, INBOX)
NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


def message(subject: str = "one", text: str = "hello", fields: str = "", day: int = 1) -> bytes:
    """A message of November 2026 with CRLF lines."""
    return (
        f"From: Alice <alice@example.org>\r\nTo: {ME}\r\nSubject: {subject}\r\n"
        f"Date: {day} Nov 2026 10:00:00 +0000\r\n{fields}\r\n{text}\r\n"
    ).encode()


def remove_file(path: Path) -> None:
    """Remove a message file as another program does, at a later moment: clocks of file systems have ticks of 4 ms."""
    path.unlink()
    folder = path.parent.stat()
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns + 10_000_000))


class ArchiveCase(SynchronousTestCase):
    """An empty store with one account, below a folder of its own."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()) / "mail"
        self.archive = self.opened()
        self.archive.add_account(ME)

    def opened(self) -> Archive:
        """Open the same store once more, as another process would."""
        archive = Archive(self.root, lambda: NOW)
        self.addCleanup(archive.close)
        return archive

    def keep(self, octets: bytes, folder: Folder = IN, source: str | None = None) -> str:
        """Add one message."""
        return self.archive.add(Addition(octets, folder, source))

    def subjects(self, query: str) -> list[str]:
        """Return the subjects of found messages, newest first."""
        return [one.subject for one in self.archive.search(query)]


class Keeping(ArchiveCase):
    def test_the_file_holds_exactly_the_octets_that_came(self) -> None:
        for octets in (message(), b"", b"no header at all", bytes(range(256)) * 20, b"Subject: x\n\nlf\n"):
            key = self.keep(octets)
            self.assertEqual(self.archive.octets(key), octets)
            self.assertEqual(self.archive.path(key).read_bytes(), octets)

    def test_the_file_name_tells_a_person_what_is_in_it(self) -> None:
        name = self.archive.path(self.keep(message("Rechnung 1/2: \u202efdp\x1b[2J"))).name
        self.assertTrue(name.startswith("2026-11-01 1000 Alice - Rechnung 1-2_ fdp"), name)
        self.assertTrue(name.isprintable())

    def test_a_source_is_kept_once(self) -> None:
        key = self.keep(message(), source="pop3:uidl-1")
        other = self.keep(message("two"), source="pop3:uidl-2")
        self.assertEqual(self.keep(message(), source="pop3:uidl-1"), key)
        twice = [Addition(message("three"), IN, "pop3:uidl-3")] * 2
        self.assertEqual(len(set(self.archive.add_many([*twice, Addition(message(), IN, "pop3:uidl-1")]))), 2)
        self.assertEqual(len(self.archive.list(IN)), 3)
        self.assertEqual(
            self.archive.known(["pop3:uidl-1", "pop3:uidl-9", "pop3:uidl-2"]),
            {"pop3:uidl-1": key, "pop3:uidl-2": other},
        )

    def test_without_a_folder_nothing_is_kept(self) -> None:
        wanted = [Addition(message(), IN), Addition(message(), Folder(ME, "Nowhere"))]
        self.assertRaises(NoSuchFolder, self.archive.add_many, wanted)
        self.assertEqual(self.archive.list(IN), [])

    def test_the_summary_has_the_fields_of_the_message(self) -> None:
        fields = "Message-ID: <m@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n"
        body = "--b\r\n\r\nsee\r\n  this\r\n--b\r\nContent-Type: a/b; name=x.pdf\r\n\r\n\r\n--b--"
        note = {"recipients": ["x@y.z"]}
        addition = Addition(message("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", body, fields), IN, None, Flag.SEEN, ("b", "a"), note)
        one = self.archive.get(self.archive.add(addition))
        self.assertEqual((one.subject, one.sender, one.recipients, one.preview), ("Grüße", "Alice", ME, "see this"))
        self.assertEqual((one.attachments, one.flags, one.tags, one.message_id), (1, Flag.SEEN, ("a", "b"), "m@x"))
        self.assertEqual(
            (one.date, one.octets, one.folder), (datetime(2026, 11, 1, 10, tzinfo=UTC), len(addition.octets), IN)
        )
        self.assertFalse(one.is_unread)
        self.assertEqual(self.archive.note(one.key), note)

    def test_a_date_of_the_future_or_none_is_that_of_arrival(self) -> None:
        for date in ("1 Jan 2099 00:00:00 +0000", "1 Jan 1900 00:00:00 +0000", "soon"):
            key = self.keep(f"Date: {date}\r\n\r\n".encode())
            self.assertEqual(self.archive.get(key).date, NOW)

    def test_a_draft_is_replaced_under_its_key_and_marks(self) -> None:
        key = self.archive.add(Addition(message("old"), IN, tags=("t",)))
        self.archive.replace(key, message("new"))
        self.assertEqual((self.archive.octets(key), self.archive.get(key).tags), (message("new"), ("t",)))
        self.assertEqual((self.subjects("old"), self.subjects("new")), ([], ["new"]))

    def test_a_message_is_named_by_the_beginning_of_its_key(self) -> None:
        key = self.keep(message())
        self.assertEqual(self.archive.get(key[:6]).key, key)
        for wrong in ("", "0", f"{key}x"):
            self.assertRaises(NoSuchMessage, self.archive.get, wrong)
        for number in range(40):
            self.keep(message(str(number)))
        self.assertRaises(NoSuchMessage, self.archive.get, self.archive.list(IN)[0].key[:0] or "a"[:0])


class Listing(ArchiveCase):
    def test_the_newest_comes_first_page_by_page(self) -> None:
        for day in (3, 1, 5, 2, 4):
            self.keep(message(str(day), day=day))
        first = self.archive.list(IN, limit=2)
        rest = self.archive.list(IN, limit=9, below=first[-1].order)
        self.assertEqual([one.subject for one in (*first, *rest)], ["5", "4", "3", "2", "1"])

    def test_folders_are_counted_standard_ones_first(self) -> None:
        self.archive.add_folder(Folder(ME, "A folder"))
        self.archive.set_flags([self.keep(message())], add=Flag.SEEN)
        self.keep(message())
        counts = self.archive.folders(ME)
        self.assertEqual([count.folder.name for count in counts], [*STANDARD_FOLDERS, "A folder"])
        self.assertEqual((counts[0].messages, counts[0].unread), (2, 1))
        self.assertEqual((list(self.archive.accounts()), list(self.archive.folders("x"))), ([ME], []))

    def test_a_conversation_is_held_together_in_any_order(self) -> None:
        three = self.keep(message("three", fields="Message-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\n", day=3))
        one = self.keep(message("one", fields="Message-ID: <1@x>\r\n", day=1))
        self.keep(message("else", fields="Message-ID: <9@x>\r\n"))
        two = self.keep(message("two", fields="Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n", day=2), Folder(ME, SENT))
        self.assertEqual([each.key for each in self.archive.thread(two)], [one, two, three])

    def test_conversations_that_meet_become_one(self) -> None:
        self.keep(message("a", fields="Message-ID: <1@x>\r\n"))
        self.keep(message("b", fields="Message-ID: <2@x>\r\n"))
        both = self.keep(message("c", fields="References: <1@x> <2@x>\r\n", day=3))
        self.assertEqual([one.subject for one in self.archive.thread(both)][2:], ["c"])


class Folders(ArchiveCase):
    def test_conversations_that_meet_within_one_batch_become_one(self) -> None:
        first = self.keep(message("a", fields="Message-ID: <a@x>\r\n"))
        batch = [
            message("b", fields="Message-ID: <b@x>\r\n"),
            message("c", fields="Message-ID: <c@x>\r\nReferences: <b@x>\r\n"),
            message("d", fields="Message-ID: <d@x>\r\nReferences: <a@x> <c@x>\r\n", day=2),
            message("e", fields="Message-ID: <e@x>\r\n", day=3),
        ]
        keys = self.archive.add_many([Addition(octets, IN) for octets in batch])
        self.assertEqual({one.subject for one in self.archive.thread(first)}, {"a", "b", "c", "d"})
        self.assertEqual([one.key for one in self.archive.thread(keys[3])], [keys[3]])
        answer = self.keep(message("f", fields="References: <b@x>\r\n", day=4))
        self.assertEqual(self.archive.get(answer).thread, self.archive.get(first).thread)

    def test_an_unfinished_file_does_not_make_a_folder_seem_changed(self) -> None:
        """Otherwise, each new message would make the next command read all names in the folder."""
        self.keep(message())
        before = (self.root / ME / INBOX).stat().st_mtime_ns
        with self.archive._staging.staged([Addition(message("two"), IN)], NOW):
            self.assertEqual((self.root / ME / INBOX).stat().st_mtime_ns, before)

    def test_a_folder_of_ones_own_is_made_renamed_and_removed(self) -> None:
        mine = Folder(ME, "Mine")
        self.archive.add_folder(mine)
        key = self.keep(message(), mine)
        self.assertRaises(ArchiveError, self.archive.remove_folder, mine)
        self.archive.rename_folder(mine, "Yours")
        self.assertEqual(self.archive.octets(key), message())
        self.assertEqual(self.archive.get(key).folder.name, "Yours")
        self.archive.move([key], IN)
        self.archive.remove_folder(Folder(ME, "Yours"))
        self.assertRaises(NoSuchFolder, self.archive.remove_folder, Folder(ME, "Yours"))

    def test_standard_folders_stay_and_names_are_names(self) -> None:
        self.archive.add_folder(Folder(ME, "Mine"))
        self.assertRaises(ArchiveError, self.archive.remove_folder, IN)
        self.assertRaises(ArchiveError, self.archive.rename_folder, Folder(ME, "Mine"), "Inbox")
        self.archive.add_folder(Folder(ME, "Taken"))
        self.assertRaises(ArchiveError, self.archive.rename_folder, Folder(ME, "Mine"), "Taken")
        for name in ("..", "a/b", ".hidden", "", "x\x1b", "a" * 300):
            self.assertRaises(ArchiveError, self.archive.add_folder, Folder(ME, name))


class Marking(ArchiveCase):
    def test_marks_outlive_the_index(self) -> None:
        """The .eml files and the journal are authoritative."""
        key = self.keep(message())
        self.archive.set_flags([key], add=Flag.SEEN | Flag.FLAGGED)
        self.archive.set_flags([key], remove=Flag.FLAGGED, add=Flag.ANSWERED)
        self.archive.set_tags([key], add=["work", "old"])
        self.archive.set_tags([key], remove=["old"])
        self.archive.set_note(key, {"due": 1})
        for rebuilt in (False, True):
            if rebuilt:
                self.archive.close()
                for file in self.root.glob("index.sqlite*"):
                    file.unlink()
                self.archive = self.opened()
            one = self.archive.get(key)
            self.assertEqual((one.flags, one.tags), (Flag.SEEN | Flag.ANSWERED, ("work",)))
            self.assertEqual((self.archive.note(key), self.archive.tags()), ({"due": 1}, {"work": 1}))
        self.archive.set_note(key, None)
        self.assertIsNone(self.archive.note(key))

    def test_a_torn_line_of_the_journal_harms_no_other(self) -> None:
        key, other = self.keep(message()), self.keep(message("two"))
        self.archive.set_flags([key], add=Flag.SEEN)
        with (self.root / ME / ".marks.jsonl").open("ab") as journal:
            journal.write(b'[1]\n{"key": "' + other.encode())
        self.archive.set_tags([other], add=["t"])
        self.archive.rebuild()
        self.assertEqual((self.archive.get(key).flags, self.archive.get(other).tags), (Flag.SEEN, ("t",)))

    def test_a_tag_is_one_word(self) -> None:
        key = self.keep(message())
        for tag in ("", "a b", "x\x1b", "x" * 101):
            self.assertRaises(ArchiveError, self.archive.set_tags, [key], [tag])


class Moving(ArchiveCase):
    def test_deleting_goes_to_trash_first(self) -> None:
        key = self.keep(message())
        self.archive.delete([self.archive.get(key)])
        self.assertEqual(self.archive.get(key).folder.name, TRASH)
        self.assertEqual((self.subjects("hello"), self.subjects("hello is:trash")), ([], ["one"]))
        path = self.archive.path(key)
        self.archive.delete([self.archive.get(key)])
        self.assertRaises(NoSuchMessage, self.archive.get, key)
        self.assertFalse(path.exists())

    def test_purging_removes_a_message_of_any_folder_in_one_step(self) -> None:
        """A crash can never leave it in Trash: it is not moved there first."""
        draft, gone = self.keep(message("draft", "secret"), Folder(ME, DRAFTS)), self.keep(message(), Folder(ME, TRASH))
        path = self.archive.path(draft)
        moved: list[object] = []
        self.patch(Changes, "move", lambda *given: moved.append(given))
        self.archive.purge([draft, gone])
        self.assertEqual(moved, [])
        self.assertFalse(path.exists())
        for key in (draft, gone):
            self.assertRaises(NoSuchMessage, self.archive.get, key)
        self.assertEqual(self.indexed("secret"), 0)

    def indexed(self, word: str) -> int:
        """Count the entries with a word in the search index, including Trash and deleted messages."""
        connection = sqlite3.connect(self.root / "index.sqlite")
        self.addCleanup(connection.close)
        (count,) = connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (word,)).fetchone()
        return int(count)

    def test_the_words_of_a_purged_message_leave_the_index(self) -> None:
        kept = self.keep(message("kept", "secret"))
        gone = self.keep(message("gone", "secret"))
        self.archive.delete([self.archive.get(gone)])
        self.assertEqual(self.indexed("secret"), 2)
        self.archive.empty_trash(ME)
        self.assertEqual((self.indexed("secret"), self.indexed("gone")), (1, 0))
        self.assertEqual([one.key for one in self.archive.search("secret")], [kept])

    def test_the_words_of_an_earlier_draft_leave_the_index(self) -> None:
        key = self.keep(message("draft", "secret"))
        self.archive.replace(key, message("draft", "harmless"))
        self.assertEqual((self.indexed("secret"), self.indexed("harmless")), (0, 1))

    def test_a_file_changed_behind_our_back_takes_no_others_words_along(self) -> None:
        self.keep(message("kept", "secret"))
        key = self.keep(message("changed", "before"))
        self.archive.path(key).write_bytes(message("changed", "secret"))
        self.archive.delete([self.archive.get(key)])
        self.archive.empty_trash(ME)
        self.assertEqual(self.subjects("secret"), ["kept"])
        self.assertEqual(self.subjects("before"), [])

    def test_trash_is_emptied_of_what_is_old_enough(self) -> None:
        old = self.archive.add(Addition(message(), Folder(ME, TRASH), arrived=NOW - timedelta(days=40)))
        new = self.keep(message(), Folder(ME, TRASH))
        self.assertEqual(self.archive.empty_trash(ME, NOW - timedelta(days=30)), 1)
        self.assertRaises(NoSuchMessage, self.archive.get, old)
        self.assertEqual(self.archive.empty_trash(ME), 1)
        self.assertRaises(NoSuchMessage, self.archive.get, new)

    def test_marks_go_with_a_message_to_another_account(self) -> None:
        self.archive.add_account("other@example.test")
        key = self.keep(message())
        self.archive.set_tags([key], add=["t"])
        self.archive.move([key, key], Folder("other@example.test", INBOX))
        self.archive.rebuild()
        one = self.archive.get(key)
        self.assertEqual((one.folder.account, one.tags), ("other@example.test", ("t",)))
        self.assertRaises(NoSuchFolder, self.archive.move, [key], Folder(ME, "Nowhere"))


class ForeignChanges(ArchiveCase):
    """Users and other programs may move the files."""

    def test_files_put_there_are_found_and_named_for_good(self) -> None:
        (self.root / ME / INBOX / "from a friend.eml").write_bytes(message("put there"))
        (self.root / ME / INBOX / "notes.txt").write_text("no message")
        self.archive.refresh()
        (one,) = self.archive.list(IN)
        self.assertEqual((one.subject, key_of(self.archive.path(one.key).name)), ("put there", one.key))
        self.assertTrue(self.archive.path(one.key).name.startswith("from a friend."))

    def test_files_moved_keep_their_marks_and_files_removed_are_forgotten(self) -> None:
        moved, removed = self.keep(message("moved")), self.keep(message("removed"))
        self.archive.set_tags([moved], add=["t"])
        path = self.archive.path(moved)
        os.rename(path, self.root / ME / "Archive" / path.name)
        remove_file(self.archive.path(removed))
        self.assertEqual(self.archive.octets(moved), message("moved"))
        self.assertEqual((self.archive.get(moved).folder.name, self.archive.get(moved).tags), ("Archive", ("t",)))
        self.assertRaises(NoSuchMessage, self.archive.octets, removed)

    def test_a_copied_file_is_a_message_of_its_own(self) -> None:
        key = self.keep(message())
        name = self.archive.path(key).name
        (self.root / ME / "Archive" / name).write_bytes(message())
        self.archive.refresh()
        self.assertEqual(len({one.key for one in self.archive.search("hello")}), 2)

    def test_a_folder_that_goes_takes_its_messages_along(self) -> None:
        self.archive.add_folder(Folder(ME, "Mine"))
        key = self.keep(message(), Folder(ME, "Mine"))
        self.archive.path(key).unlink()
        (self.root / ME / "Mine").rmdir()
        self.archive.refresh()
        self.assertRaises(NoSuchMessage, self.archive.get, key)
        self.assertNotIn("Mine", [count.folder.name for count in self.archive.folders()])

    def test_a_damaged_index_is_rebuilt(self) -> None:
        key = self.keep(message())
        self.archive.close()
        for suffix in ("-wal", "-shm"):
            (self.root / f"index.sqlite{suffix}").unlink(missing_ok=True)
        (self.root / "index.sqlite").write_bytes(b"no database" * 1000)
        self.archive = self.opened()
        self.assertEqual(self.archive.get(key).subject, "one")
        self.assertTrue((self.root / "index.sqlite.damaged").exists())

    def test_an_index_of_another_version_is_rebuilt(self) -> None:
        key = self.keep(message())
        self.archive.close()
        connection = sqlite3.connect(self.root / "index.sqlite")
        connection.execute("PRAGMA user_version = 99")
        connection.execute("DELETE FROM messages")
        connection.commit()
        connection.close()
        self.archive = self.opened()
        self.assertEqual(self.archive.get(key).subject, "one")

    def test_two_processes_with_the_archive_open_see_each_others_mail(self) -> None:
        other = self.opened()
        key = self.keep(message(), source="s")
        self.assertEqual(other.get(key).subject, "one")
        self.assertEqual(other.add(Addition(message(), IN, "s")), key)
        other.set_flags([key], add=Flag.SEEN)
        self.assertEqual(self.archive.get(key).flags, Flag.SEEN)
