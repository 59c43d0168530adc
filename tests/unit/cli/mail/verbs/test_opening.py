"""The verbs open, pipe and print, and save --all."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from emailsys.client.archive.values import Addition, Folder
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.opening.recorder import Recorder

_MAIL = b"From: Bob <bob@example.org>\r\nSubject: Links\r\n\r\nhttps://a.example/x and https://b.example/y\x1b[2J\r\n"


class OpeningVerbTests(Case):
    """A message with two links, and one with an attachment and HTML."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder(self)
        self.links = self.mailbox.archive.add(Addition(_MAIL, Folder("alice", "Inbox")))

    def test_links_are_listed_and_opened_after_a_question(self) -> None:
        listed = self.json("open", self.links, "--list")
        self.assertEqual((listed[0]["number"], listed[0]["target"]), ("1", "https://a.example/x"))
        self.assertIn("https://a.example/x", self.refused(Exit.FAILED, "open", self.links, "1", typed="n\n"))
        self.assertIn("--yes", self.refused(Exit.USAGE, "open", self.links, "1", typed=b""))
        self.assertEqual(self.recorder.told, [])
        self.fine("open", self.links, "1", typed="y\n")
        self.assertEqual(self.json("open", self.links, "1", "--yes")["opened"], "https://a.example/x")
        self.assertEqual(self.recorder.told, [["browser", "https://a.example/x"]] * 2)
        self.refused(Exit.NO_INPUT, "open", self.links, "7")

    def test_a_mailto_link_is_written_to_in_the_editor(self) -> None:
        """Without a terminal nothing is started. In the editor, the recipient and the subject are filled in."""
        mail = b"From: b@example.org\r\nSubject: L\r\n\r\nmailto:help@example.org?subject=Help&attach=/etc/passwd\r\n"
        key = self.mailbox.archive.add(Addition(mail, Folder("alice", "Inbox")))
        self.assertIn("no terminal for the editor", self.refused(Exit.USAGE, "open", key, "1", "--yes", typed=b""))
        script = self.folder / "editor.py"
        script.write_text("import pathlib, sys\nassert 'Help' in pathlib.Path(sys.argv[1]).read_text()\n")
        os.environ["VISUAL"] = f"{sys.executable} {script}"
        self.fine("open", key, "1", typed="d\n")
        (draft,) = self.mailbox.archive.list(Folder("alice", "Drafts"))
        self.assertIn("help@example.org", draft.recipients)
        self.assertEqual(self.recorder.told, [])

    def test_html_and_attachments_are_opened_from_copies(self) -> None:
        page = Path(self.json("open", self.second)["opened"])
        self.assertIn("HTML form", page.read_text())
        self.assertIn("no HTML", self.refused(Exit.FAILED, "open", self.first))
        number = self.json("attachments", self.second)[0]["part"]
        copy = Path(self.json("open", self.second, number)["opened"])
        self.assertEqual((copy.name, copy.read_bytes()), ("plan.txt", b"a plan"))
        self.assertEqual(Path(self.json("open", self.second, "plan.txt")["opened"]).name, "plan.txt")

    def test_a_number_is_a_part_before_it_is_a_name(self) -> None:
        """The sender chooses the names."""
        parts = b"".join(
            b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=%s\r\n\r\n%s\r\n" % one
            for one in ((b"1.2", b"first"), (b"b.txt", b"second"))
        )
        octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))
        self.assertEqual(self.run_it("pipe", "--part", "1.2", key, "cat")[:2], (0, b"second"))
        self.assertEqual(self.run_it("save", key, "1.2", "--stdout")[:2], (0, b"second"))
        self.assertEqual(Path(self.json("open", key, "1.2")["opened"]).name, "b.txt")
        self.assertEqual(self.run_it("save", key, "b.txt", "--stdout")[:2], (0, b"second"))

    def test_fetch_removes_what_was_opened_a_day_ago(self) -> None:
        """A decrypted attachment does not wait for the next one that is opened."""
        old, new = (Path(self.json("open", self.second, "plan.txt")["opened"]).parent for _ in range(2))
        old = old.rename(old.with_name(f"{int(time.time()) - 86_402}-x"))
        self.run_it("fetch", "no-such-account")
        self.assertEqual((old.exists(), new.exists()), (False, True))

    def test_programs_are_refused(self) -> None:
        octets = b"Content-Type: application/x-sh; name=a.pdf\r\n\r\n#!/bin/sh\r\n"
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))
        self.assertIn("not opened", self.refused(Exit.DATA, "open", key, "a.pdf", "--yes"))
        self.assertEqual(self.recorder.told, [])

    def test_messages_go_to_commands_without_a_shell(self) -> None:
        status, out, _ = self.run_it("pipe", self.links, "cat")
        self.assertEqual((status, out), (0, _MAIL))
        status, out, _ = self.run_it("pipe", self.links, "echo", "-n", "$HOME; x")
        self.assertEqual((status, out), (0, b"$HOME; x"))
        status, out, _ = self.run_it("pipe", "--part", "plan.txt", self.second, "cat")
        self.assertEqual((status, out), (0, b"a plan"))
        self.assertIn("exit status 3", self.refused(Exit.FAILED, "pipe", self.links, "sh", "-c", "exit 3"))
        printed = self.folder / "printed"
        self.fine("print", self.links, "--command", f"dd status=none of='{printed}'")
        self.assertIn("Subject: Links", printed.read_text())
        self.assertNotIn("\x1b", printed.read_text())

    def test_all_attachments_are_saved_into_a_folder(self) -> None:
        self.fine("save", self.second, "--all", str(self.folder / "new" / "place"))
        self.assertEqual((self.folder / "new" / "place" / "plan.txt").read_bytes(), b"a plan")
        self.refused(Exit.USAGE, "save", self.second, "plan.txt", "--all", str(self.folder))
        self.refused(Exit.IO, "save", self.second, "--all", "~nobody-there/x")
