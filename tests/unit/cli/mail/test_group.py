"""Verbs of `emailsys mail`: output, effect on the archive, exit status."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from emailsys.client.archive.archive import INDEX, Archive
from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case

CHECKOUT = Path(__file__).resolve().parents[4]


class ProgramTests(Case):
    """The command group."""

    def test_help_is_quick_and_imports_neither_a_reactor_nor_textual(self) -> None:
        """A separate process prints the help without importing the heavy packages."""
        script = (
            "import sys;"
            "from emailsys.cli.main import run; status = run(['mail', '--help']);"
            "heavy = {'twisted', 'textual', 'prompt_toolkit', 'sqlite3', 'sqlalchemy', 'rich'};"
            "heavy &= set(sys.modules);"
            "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=CHECKOUT)
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("account", "fetch", "structure", "sendmail", "shell", "emailsys mail send --to bob@example.org"):
            self.assertIn(word, done.stdout)

    def test_a_fetch_imports_neither_twisted_nor_a_parser(self) -> None:
        """A fetch has no reactor, and its worker reads the messages. Either import takes as long as 250 messages."""
        script = (
            "import sys;"
            "import emailsys.cli.mail.verbs.fetch, emailsys.client.accounts.blocking_secrets;"
            "import emailsys.client.archive.worker, emailsys.client.archive.staging, emailsys.client.fetch.fetcher;"
            "heavy = {'twisted', 'zope', 'sqlalchemy', 'sqlite3'};"
            "heavy |= {'emailsys.mail.message', 'emailsys.mail.transmission'};"
            "heavy &= set(sys.modules);"
            "sys.exit(f'{heavy}' if heavy else 'emailsys.client.fetch.stream' not in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=CHECKOUT)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_verb_has_help(self) -> None:
        """`emailsys mail VERB --help` has more text than the list of verbs."""
        from emailsys.cli.mail.group import mail

        for name, line in mail.lines_of_help().items():
            shown = self.fine(name, "--help")
            self.assertIn("Usage: emailsys mail " + name, shown)
            self.assertTrue(line.endswith("."), line)

    def test_every_verb_shows_an_example_and_takes_json(self) -> None:
        """Every verb has --json except raw, which prints octets, and shell, which is interactive."""
        from emailsys.cli.mail.group import mail

        def verbs(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
            context = click.Context(group)
            for name in group.list_commands(context):
                command = group.get_command(context, name)
                assert command is not None
                yield (*words, name), command
                if isinstance(command, click.Group):
                    yield from verbs(command, (*words, name))

        found = list(verbs(mail, ()))
        self.assertGreater(len(found), 40)
        for words, command in found:
            shown = self.fine(*words, "--help")
            example = "mail> list" if words == ("shell",) else f"emailsys mail {' '.join(words)}"
            self.assertIn(example, shown.partition("\n")[2], words)
            if not isinstance(command, click.Group):
                self.assertEqual("--json" in shown, words[0] not in ("raw", "shell"), words)

    def test_each_verb_that_changes_something_prints_json(self) -> None:
        """Every verb that changes something prints the change as a JSON document."""
        key, other = self.first, self.second
        self.assertEqual(self.json("flag", "flagged", key), {"keys": [key], "marked": "flagged"})
        self.assertEqual(self.json("tag", "+a", "-b", key), {"keys": [key], "added": ["a"], "removed": ["b"]})
        moved = {"key": key, "account": "alice", "folder": "Archive"}
        self.assertEqual(self.json("move", key, "--to", "archive"), [moved])
        self.assertEqual(self.json("delete", key), {"trashed": [key], "gone": [], "left": []})
        self.assertEqual(self.json("undelete", key), [moved])
        self.json("delete", other)
        status, out, _ = self.run_it("delete", key, other, "--json")
        self.assertEqual((status, json.loads(out)), (Exit.FAILED, {"trashed": [key], "gone": [], "left": [other]}))
        gone = {"trashed": [], "gone": [other], "left": []}
        self.assertEqual(self.json("delete", other, "--from", "trash"), gone)
        self.assertEqual(self.json("folder", "empty-trash", "--yes"), {"account": "alice", "gone": 1})
        self.assertEqual(self.json("folder", "add", "New"), {"account": "alice", "folder": "New"})
        self.assertEqual(self.json("folder", "add", "work/Lists"), {"account": "work", "folder": "Lists"})
        self.fine("folder", "remove", "work/Lists")
        renamed = {"account": "alice", "folder": "Newer", "was": "New"}
        self.assertEqual(self.json("folder", "rename", "New", "Newer"), renamed)
        self.assertEqual(self.json("folder", "remove", "newer"), {"account": "alice", "removed": "Newer"})
        self.assertEqual(self.json("account", "default", "work"), {"account": "work", "default": True})
        waiting = self.json("send", "dora@example.org", "-s", "x", "-m", "x", "--later")["key"]
        self.assertEqual(self.json("outbox", "retry", waiting), {"key": waiting, "account": "work", "waits": True})

    def test_without_a_terminal_the_full_screen_says_so(self) -> None:
        """In a script, `emailsys mail` without a verb is a usage error."""
        self.assertIn("needs a terminal", self.refused(Exit.USAGE))

    def test_a_verb_that_is_not_there_gets_a_suggestion(self) -> None:
        """For `serach` the error suggests `search`."""
        self.assertIn("'search'", self.refused(Exit.USAGE, "serach", "x"))

    def test_without_an_account_each_verb_says_how_to_add_one(self) -> None:
        """Exit status 78, and the error shows the command."""
        for name in ("alice", "work"):
            self.mailbox.accounts_file.remove(name)
        for words in (("list",), ("fetch",), ("send", "x@example.org", "-m", "x"), ("outbox", "send")):
            self.assertIn("emailsys mail account add", self.refused(Exit.CONFIG, *words), words)


class ListingTests(Case):
    """The verbs list, search and thread."""

    def test_a_list_is_a_table_for_pipes_and_a_document_for_programs(self) -> None:
        """A pipe gets tabs between columns; JSON has the whole key and the date."""
        lines = self.fine("list").splitlines()
        self.assertEqual(lines[0].split("\t")[:3], ["key", "flags", "date"])
        self.assertEqual(len(lines), 3)
        found = self.json("list", "inbox")
        self.assertEqual({one["key"] for one in found}, {self.first, self.second})
        self.assertEqual(found[0]["from"].partition("<")[0].strip(), "Bob")
        self.mailbox.archive.set_flags([self.first], add=Flag.SEEN)
        self.assertEqual([one["key"] for one in self.json("list", "--unread")], [self.second])
        self.assertEqual(self.json("list", "work/Inbox"), [])

    def test_a_sender_of_ones_own_system_that_did_not_log_in_is_marked(self) -> None:
        """Otherwise a message in the name of the boss looks like his until it is opened. A name cannot be the mark."""
        received = b"Received: from x by mail.home.test with ESMTP id q; Sun, 29 Nov 2026 12:00:00 +0000\r\n"
        mark = b"Authentication-Results: mail.home.test; auth=none\r\n"
        message = received + b"From: Boss <boss@home.test>\r\nSubject: pay\r\n\r\nPay at once.\r\n"
        inbox = Folder("alice", "Inbox")
        forged = self.mailbox.archive.add(Addition(mark + message, inbox))
        genuine = self.mailbox.archive.add(Addition(message, inbox))
        for words in (("list",), ("search", "subject:pay")):
            rows = [line.split("\t") for line in self.fine(*words).splitlines()]
            column = rows[0].index("from")
            senders = {row[0]: row[column] for row in rows[1:]}
            self.assertEqual((senders[forged[:8]], senders[genuine[:8]]), ("(?) Boss", "Boss"))
            found = {one["key"]: one["unverified"] for one in self.json(*words)}
            self.assertEqual((found[forged], found[genuine]), (True, False))
        self.assertIn("Warning: The author is not verified", self.fine("show", forged))
        self.assertNotIn("Warning", self.fine("show", genuine))

    def test_a_folder_that_is_not_there_is_named_with_those_that_are(self) -> None:
        """Exit status 66, and the error lists the existing folders."""
        self.assertIn("Inbox, Drafts, Outbox", self.refused(Exit.NO_INPUT, "list", "Nowhere"))

    def test_a_search_gives_keys_to_the_next_verb(self) -> None:
        """`search --keys` piped into `tag +x -` writes the tag to disk."""
        keys = self.fine("search", "has:attachment", "--keys")
        self.assertEqual(keys.split(), [self.second])
        self.fine("tag", "+plan", "-", typed=keys.encode())
        self.assertEqual(self.mailbox.archive.get(self.second).tags, ("plan",))
        self.assertEqual(self.json("tag"), [{"tag": "plan", "messages": 1}])
        self.fine("tag", "-plan", self.second)
        self.assertEqual(self.json("tag"), [])
        self.refused(Exit.USAGE, "tag", self.second)
        self.assertIn("a date is written", self.refused(Exit.USAGE, "search", "before:never"))

    def test_a_word_that_looks_like_a_search_field_is_warned_about(self) -> None:
        """The words are searched for anyway. The warning suggests the nearest field, or lists all fields."""
        for query, told in (("fron:bob", "did you mean from:?"), ("x foo:bar", "there are from:, to:,")):
            status, out, err = self.run_it("search", query, "--json")
            self.assertEqual((status, query.split()[-1] in err and told in err), (0, True), err)
            self.assertIsInstance(json.loads(out), list)
        for query in ("from:bob", "Re:", "http://example.org", "'12:30'", "plain"):
            self.assertEqual(self.run_it("search", query, "--json")[2], "")

    def test_a_conversation_is_listed(self) -> None:
        """A message is a conversation of one until it is answered."""
        self.assertEqual([one["key"] for one in self.json("thread", self.first[:10])], [self.first])

    def test_json_of_a_stranger_cannot_reach_the_terminal(self) -> None:
        """JSON escapes C1 controls and bidirectional overrides, and its values are unchanged."""
        octets = "Subject: a\x9b31mb\u202ec\x7f\U000e0041d\r\nFrom: x@example.org\r\n\r\n".encode()
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))
        _, out, _ = self.run_it("search", "from:x", "--json")
        self.assertEqual(set("\x9b\u202e\x7f\U000e0041") & set(out.decode()), set())
        self.assertEqual((json.loads(out)[0]["key"], json.loads(out)[0]["subject"][-2:]), (key, "\U000e0041d"))


class ReadingTests(Case):
    """The verbs show, structure, headers, raw, attachments and save."""

    def test_showing_marks_as_read_unless_told_otherwise(self) -> None:
        """`show` prints the text and the attachment under its safe name, and JSON has the same."""
        shown = self.fine("show", self.second, "--keep-unread")
        self.assertIn("the text of Second", shown)
        self.assertIn("plan.txt, text/plain, 6 octets]", shown)
        self.assertNotIn("..", shown)
        self.assertTrue(self.mailbox.archive.get(self.second).is_unread)
        document = self.json("show", self.second, "--html")
        self.assertIn("the HTML form", document["body"])
        self.assertFalse(self.mailbox.archive.get(self.second).is_unread)
        self.assertIn("Message-ID:", self.fine("show", self.first, "--all-headers"))

    def test_the_structure_has_sizes_and_overhead(self) -> None:
        """The structure lists every part, in JSON with numbers."""
        rows = self.json("structure", self.second)
        types = [row["content_type"] for row in rows]
        self.assertEqual(types[0], "multipart/mixed")
        self.assertIn("text/html", types)
        self.assertEqual({row["decoded_octets"] for row in rows if row["name"]}, {6})
        self.assertIn("overhead", self.fine("structure", self.second).splitlines()[0])

    def test_raw_is_octet_for_octet(self) -> None:
        """A pipe gets exactly the octets that were received."""
        _, out, _ = self.run_it("raw", self.second)
        self.assertEqual(out, self.mailbox.archive.octets(self.second))
        self.assertIn(["Subject", "Second"], self.json("headers", self.second))

    def test_attachments_are_saved_under_safe_names_and_overwrite_nothing(self) -> None:
        """Saving twice gives two files, and --stdout writes one attachment. The error for an unknown name lists the
        known ones.
        """
        self.assertEqual([one["name"] for one in self.json("attachments", self.second)], ["plan.txt"])
        target = self.folder / "out"
        first = self.fine("save", self.second, "--to", str(target)).strip()
        second = self.fine("save", self.second, "plan.txt", "--to", str(target)).strip()
        self.assertEqual(sorted(path.name for path in target.iterdir()), ["plan (2).txt", "plan.txt"])
        self.assertEqual([Path(path).read_bytes() for path in (first, second)], [b"a plan"] * 2)
        self.assertEqual(self.run_it("save", self.second, "--stdout")[1], b"a plan")
        rows = self.json("structure", self.second)
        text = next(row["part"] if "part" in row else row["number"] for row in rows if "plain" in str(row))
        self.assertIn(b"the text of Second", self.run_it("save", self.second, text, "--stdout")[1])
        self.assertIn("the text of Second", self.fine("show", self.second, "--part", text))
        self.refused(Exit.NO_INPUT, "show", self.second, "--part", "1.77")
        self.assertIn("plan.txt", self.refused(Exit.NO_INPUT, "save", self.second, "other"))
        self.refused(Exit.NO_INPUT, "save", self.first)

    def test_an_unknown_key_exits_with_status_66(self) -> None:
        """Every verb that takes a key exits with status 66 for an unknown one."""
        for verb in ("show", "raw", "structure", "headers", "attachments", "thread", "reply", "delete"):
            self.assertIn("no message", self.refused(Exit.NO_INPUT, verb, "zzzzzzz"))


class HandlingTests(Case):
    """The verbs flag, move, delete, undelete and folder."""

    def test_messages_are_marked_moved_deleted_and_restored(self) -> None:
        """Each change is on disk when the verb ends."""
        self.fine("flag", "flagged", self.first, self.second)
        self.assertTrue(self.mailbox.archive.get(self.first).flags & Flag.FLAGGED)
        self.fine("flag", "unflagged", self.first)
        self.assertFalse(self.mailbox.archive.get(self.first).flags & Flag.FLAGGED)
        self.fine("move", self.first, "--to", "archive")
        self.assertEqual(self.folder_of(self.first), "Archive")
        self.fine("move", self.first, "--to", "work/Inbox")
        self.assertEqual(self.mailbox.archive.get(self.first).folder, Folder("work", "Inbox"))
        self.fine("delete", self.second)
        self.assertEqual(self.folder_of(self.second), "Trash")
        self.fine("undelete", self.second)
        self.assertEqual(self.folder_of(self.second), "Inbox")
        self.refused(Exit.DATA, "undelete", self.second)
        self.fine("delete", "--for-good", self.second)
        self.refused(Exit.NO_INPUT, "show", self.second)

    def test_a_restored_message_returns_to_its_folder(self) -> None:
        """Mail returns to Inbox, Sent or Drafts with its flags, or to Inbox if its folder is unknown or removed. A
        rebuilt index still knows the folder.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"From: Alice <alice@example.org>\r\nTo: alice@example.org\r\nSubject: oneself\r\n\r\nx\r\n")
        self.fine("folder", "add", "Projects")
        key = ""
        for folder in ("Inbox", "Sent", "Drafts", "Projects"):
            self.fine("import", str(path), "--to", folder, "--form", "eml")
            (key,) = [one["key"] for one in self.json("search", f"subject:oneself folder:{folder}")]
            self.fine("tag", "+kept", key)
            self.fine("delete", key) if folder != "Sent" else self.fine("move", key, "--to", "Trash")
            self.assertEqual(self.folder_of(key), "Trash")
            self.fine("reindex")
            self.fine("undelete", key)
            self.assertEqual((self.folder_of(key), self.mailbox.archive.get(key).tags), (folder, ("kept",)))
        self.fine("delete", key)
        self.fine("folder", "remove", "Projects")
        self.fine("undelete", key)
        self.assertEqual(self.folder_of(key), "Inbox")
        self.fine("import", str(path), "--to", "Trash", "--form", "eml")
        (key,) = [one["key"] for one in self.json("list", "Trash")]
        self.fine("undelete", key)
        self.assertEqual(self.folder_of(key), "Inbox")

    def test_the_outbox_is_no_folder_to_move_from(self) -> None:
        """A message in the outbox can be stopped, but not moved or deleted."""
        key = self.json("send", "dora@example.org", "-s", "x", "-m", "x", "--later")["key"]
        self.assertIn("outbox stop", self.refused(Exit.DATA, "move", key, "--to", "Archive"))
        self.assertIn("Stop it first", self.refused(Exit.IO, "delete", key))

    def test_folders_are_made_renamed_and_removed(self) -> None:
        """Standard folders cannot be removed. Trash is emptied after a question."""
        self.fine("folder", "add", "Projects")
        self.fine("folder", "rename", "Projects", "Plans")
        names = [one["folder"] for one in self.json("folder", "list", "-a", "alice")]
        self.assertEqual(names, ["Inbox", "Drafts", "Outbox", "Sent", "Archive", "Trash", "Plans"])
        self.fine("folder", "remove", "Plans")
        self.refused(Exit.IO, "folder", "remove", "Inbox")
        self.fine("delete", self.first)
        self.refused(Exit.FAILED, "folder", "empty-trash", typed="n\n")
        self.fine("folder", "empty-trash", "--yes")
        self.assertEqual(self.subjects("Trash"), [])


class ExchangeTests(Case):
    """The verbs import, export and reindex."""

    def test_an_exported_message_is_imported_octet_for_octet(self) -> None:
        """A maildir and .eml files keep every octet; an mbox keeps the messages."""
        before = {self.mailbox.archive.octets(key) for key in (self.first, self.second)}
        for form, target in (("maildir", "Maildir"), ("eml", "files"), ("mbox", "all.mbox")):
            path = str(self.folder / target)
            self.assertEqual(self.json("export", form, path)["messages"], 2)
            self.assertEqual(self.json("import", path, "--to", "work/Archive")["messages"], 2)
            found = self.mailbox.archive.list(Folder("work", "Archive"))
            got = {self.mailbox.archive.octets(one.key) for one in found}
            if form == "mbox":
                got = {one.replace(b"\n", b"\r\n") for one in got}
            self.assertEqual(got, before, form)
            self.fine("delete", "--for-good", *(one.key for one in found))
        self.assertEqual(self.json("export", "eml", str(self.folder / "one"), "--key", self.first)["messages"], 1)
        self.assertEqual(self.json("reindex")["messages"], 2)
        self.refused(Exit.USAGE, "export", "eml", "x", "Inbox", "--key", self.first)

    def test_an_index_of_an_earlier_version_is_rebuilt_with_a_word(self) -> None:
        """The next verb takes as long as the rebuild. After that, and in a new store, nothing is said."""
        with contextlib.closing(sqlite3.connect(self.mailbox.archive.root / INDEX)) as index:
            index.execute("PRAGMA user_version = 1")
        for told in (True, False):
            status, _, err = self.run_it("list")
            self.assertEqual((status, "The index is being rebuilt" in err), (0, told), err)
        opened: list[str] = []
        Archive(self.folder / "other", self.mailbox.now, opened.append).close()
        self.assertEqual(opened, [])

    def test_an_import_that_stops_says_how_to_go_on(self) -> None:
        """After a full disk or Ctrl-C, the message says how to continue. Messages imported before are counted
        separately.
        """
        path = self.folder / "mbox"
        path.write_bytes(b"".join(b"From x\nSubject: %d\n\nz\n\n" % number for number in range(1001)))
        original = os.replace
        calls: list[object] = []

        def stopping(source: str, target: str) -> None:
            calls.append(target)
            if len(calls) > 500:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(source, target)

        replacing = self.patch(os, "replace", stopping)
        said = self.refused(Exit.CANNOT_CREATE, "import", str(path))
        replacing.restore()
        self.assertIn("500 messages imported into alice/Inbox before that", said)
        self.assertIn("repeat the command", said)
        told = self.json("import", str(path))
        self.assertEqual((told["messages"], told["here_already"]), (501, 500))
        self.assertIn(
            "0 messages imported into alice/Inbox. Skipped 1,001 messages imported before.",
            self.run_it("import", str(path))[2],
        )

    def test_a_file_of_another_format_is_no_interrupted_import(self) -> None:
        """Nobody is told to repeat it. What was imported before it is counted."""
        good, other = self.folder / "good.eml", self.folder / "old.mmdf"
        good.write_bytes(b"Subject: good\r\n\r\nx\r\n")
        other.write_bytes(b"\x01\x01\x01\x01\nSubject: x\n\nx\n")
        said = self.refused(Exit.IO, "import", str(good), str(other))
        self.assertIn("MMDF format, which is not supported; convert it to mbox first. 1 message imported", said)
        self.assertNotIn("repeat", self.refused(Exit.IO, "import", str(other)))
