"""What was typed in the editor is never lost: it is in a draft, in the outbox, or in a file whose path is named."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import click

from emailsys.cli.mail.ending_signals import EndedBySignal
from emailsys.cli.main import run
from emailsys.client.archive.values import ArchiveFull, Folder
from emailsys.client.compose.draft import Draft
from emailsys.client.mailbox import UserMailbox
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail import mail_case
from tests.unit.cli.mail.mail_case import Case, Terminal

# Windows has no SIGHUP.
_SIGNALS: Final = tuple(name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EditingTests(Case):
    """An editor that writes something, and then one thing goes wrong."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(mail_case, "run", self.ended)
        for name in _SIGNALS:
            # The process that runs the tests may ignore them.
            number = getattr(signal, name)
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_DFL))

    def ended(self, words: list[str]) -> int:
        """Run the program, and return its exit status also if a signal has ended it."""
        try:
            return run(words)
        except EndedBySignal as ended:
            return ended.status

    def editor(self, *statements: str) -> None:
        """Make an editor that runs Python statements. `p` is the path, `t` the text, `put(text)` saves."""
        script = self.folder / "editor.py"
        head = (
            "import os, pathlib, sys",
            "p = pathlib.Path(sys.argv[1])",
            "t = p.read_text()",
            "put = p.write_text",
        )
        script.write_text("\n".join((*head, *statements)) + "\n")
        os.environ["VISUAL"] = f"{sys.executable} {script}"

    def drafts(self) -> list[Draft]:
        found = self.mailbox.archive.list(Folder("alice", "Drafts"))
        return [self.mailbox.open_draft(one.key) for one in found]

    def composed(self, typed: str, status: int) -> str:
        """Compose, answer the questions, and return standard error. No sheet stays."""
        ended, _, err = self.run_it("compose", "d@example.org", "-s", "Kept", typed=typed)
        self.assertEqual(ended, status, err)
        self.assertNotIn("Traceback", err)
        self.assertNotIn("unexpected", err)
        self.assertEqual(self.sheets(), [])
        return err

    def sheets(self) -> list[Path]:
        return sorted((self.mailbox.paths.state / "editing").iterdir())

    def test_a_line_that_cannot_be_used_is_in_the_draft_as_it_was_typed(self) -> None:
        """The answer n, Ctrl-D or Ctrl-C to "Correct it?" keeps address, attachment, format and text."""
        for line in ("Bcc: Eve <eve@", "Bcc: dora@example.org, bob@", "Attach: ~nobody-here/x", "Attach: gone.pdf",
                     "Format: word", "Message-ID: <a@b>", "a line without a colon"):  # fmt: skip
            for typed, status in (("n\n", Exit.DATA),) if "Bcc" in line else (("", Exit.INTERRUPTED),):
                self.editor(f"put(t.replace('Bcc: ', {line!r} + chr(10) + 'X-Own: 7') + 'my words\\n')")
                err = self.composed(typed, status)
                (draft,) = self.drafts()
                (key,) = re.findall(r"draft edit (\w+)", err)
                self.assertEqual((draft.subject, draft.body), ("Kept", "my words\n"))
                self.assertEqual(draft.fields, [("X-Own", "7")])
                self.assertIn("cannot be used", self.refused(Exit.DATA, "draft", "send", key, "--later"))
                self.editor("assert " + repr(line) + " in t.splitlines(), t", "put(t.replace(" + repr(line) + ", ''))")
                self.fine("draft", "edit", key, "--later", typed="s\n")
                self.assertEqual(self.drafts(), [])

    def test_an_editor_that_saved_and_then_failed(self) -> None:
        """It exited with 1, was killed, or saved in another encoding: the text is a draft."""
        for end in ("sys.exit(1)", "os.kill(os.getpid(), 9)"):
            self.editor("put(t + 'my words\\n')", end)
            self.assertIn("draft edit", self.composed("", Exit.FAILED))
            self.assertEqual([one.body for one in self.drafts()], ["my words\n"])
            self.mailbox.archive.purge([self.mailbox.archive.list(Folder("alice", "Drafts"))[0].key])
        self.editor("p.write_bytes((t + 'Grüße\\n').encode('latin-1'))")
        self.composed("d\n", Exit.OK)
        self.assertEqual([one.body for one in self.drafts()], ["Grüße\n"])

    def test_a_signal_while_the_editor_runs_leaves_its_text_and_names_the_file(self) -> None:
        """The editor gets the signal, too, and saves beside the file what it has not saved yet, as nano does."""
        for name in _SIGNALS:
            self.editor(
                "import signal, time",
                "def save(number, frame):",
                "    p.with_name(p.name + '.save').write_text('later words')",
                "    sys.exit(1)",
                f"signal.signal(signal.{name}, save)",
                "put(t + 'my words\\n')",
                f"os.kill(os.getppid(), signal.{name})",
                "while True: time.sleep(60)",
            )
            ended, _, err = self.run_it("compose", "d@example.org", "-s", "Kept", typed="")
            self.assertEqual(ended, 128 + getattr(signal, name), err)
            (path,) = re.findall(r"saved is in (\S+), or beside it", err)
            self.assertIn("my words\n", Path(path).read_text())
            self.assertEqual(Path(f"{path}.save").read_text(), "later words")
            (draft,) = self.drafts()
            self.assertEqual(draft.body, "my words\n")
            self.mailbox.archive.purge([self.mailbox.archive.list(Folder("alice", "Drafts"))[0].key])
            self.assertIs(signal.getsignal(getattr(signal, name)), signal.SIG_DFL)

    def test_a_signal_at_a_question_leaves_a_draft(self) -> None:
        """At the one about a line that cannot be used, and at the one what to do."""
        for line, question in (("Bcc: ", "prompt"), ("a line without a colon", "confirm")):

            def end(*arguments: Any, **named: Any) -> str:
                signal.raise_signal(signal.SIGTERM)
                raise AssertionError("the program goes on")

            patch = self.patch(click, question, end)
            self.editor(f"put(t.replace('Bcc: ', {line!r}) + 'my words\\n')")
            self.assertIn("draft edit", self.composed("", 128 + signal.SIGTERM))
            patch.restore()
            self.assertEqual([one.body for one in self.drafts()], ["my words\n"])
            self.mailbox.archive.purge([self.mailbox.archive.list(Folder("alice", "Drafts"))[0].key])

    def test_a_signal_in_a_text_that_is_typed_keeps_its_lines(self) -> None:
        class Ended(Terminal):
            @property
            def buffer(self) -> Any:
                lines = iter([b"first line\n"])

                def readline() -> bytes:
                    try:
                        return next(lines)
                    except StopIteration:
                        signal.raise_signal(signal.SIGTERM)
                        raise

                return SimpleNamespace(readline=readline)

        self.patch(mail_case, "Terminal", Ended)
        status, _, err = self.run_it("send", "d@example.org", "-s", "Typed", typed="")
        self.assertEqual(status, 128 + signal.SIGTERM)
        self.assertIn("draft edit", err)
        self.assertEqual([one.body for one in self.drafts()], ["first line\n"])

    def test_q_leaves_a_draft_in_trash_that_another_program_moved_there(self) -> None:
        def answer(*arguments: Any, **named: Any) -> str:
            # Another program moves the draft while the question is open.
            self.mailbox.archive.delete(self.mailbox.archive.list(Folder("alice", "Drafts")))
            return "q"

        self.patch(click, "prompt", answer)
        self.editor("put(t + 'my words\\n')")
        self.assertIn("is in Trash", self.composed("", Exit.FAILED))
        self.assertEqual(self.subjects("Trash"), ["Kept"])

    def test_the_backups_of_editors_go_with_the_sheet(self) -> None:
        names = "p.name + '~'", "p.stem + '.bak'", "'.' + p.name + '.swp'", "'#' + p.name + '#'"
        self.editor("put(t + 'x')", *(f"p.with_name({name}).write_text('copy')" for name in names))
        self.composed("d\n", Exit.OK)

    def test_ctrl_c_in_a_text_that_is_typed_keeps_its_lines(self) -> None:
        class Interrupted(Terminal):
            @property
            def buffer(self) -> Any:
                lines = iter([b"first line\n", b"second line\n"])

                def readline() -> bytes:
                    try:
                        return next(lines)
                    except StopIteration:
                        raise KeyboardInterrupt from None

                return SimpleNamespace(readline=readline)

        self.patch(mail_case, "Terminal", Interrupted)
        for verb, body in ((("send", "d@example.org", "-s", "Typed"), "first line\nsecond line\n"),
                           (("reply", self.first, "--stdin"), "first line\nsecond line\n\nOn ")):  # fmt: skip
            status, _, err = self.run_it(*verb, typed="")
            self.assertEqual(status, Exit.INTERRUPTED)
            self.assertIn("draft edit", err)
            (draft,) = self.drafts()
            self.assertTrue(draft.body.startswith(body), draft.body)
            self.mailbox.archive.purge([self.mailbox.archive.list(Folder("alice", "Drafts"))[0].key])

    def test_a_link_attaches_nothing_and_says_so(self) -> None:
        link = "mailto:d@example.org?subject=Hi&body=text&attach=/etc/passwd&Attachment=b.txt"
        err = self.run_it("send", link, "--later")[2]
        self.assertIn("'/etc/passwd': it is not attached", err)
        self.assertIn("'b.txt': it is not attached", err)

    def test_an_editor_that_changed_nothing_leaves_nothing(self) -> None:
        """It failed before a word was typed, cannot be started, or has removed the file."""
        self.editor("sys.exit(1)")
        self.composed("", Exit.FAILED)
        self.editor("p.unlink()")
        self.assertIn("removed the file", self.composed("", Exit.FAILED))
        for command in ("/nowhere/editor", "'unclosed"):
            os.environ["VISUAL"] = command
            self.assertIn("editor failed", self.composed("", Exit.FAILED))
        self.assertEqual(self.drafts(), [])

    def test_ctrl_d_after_the_draft_was_saved_names_it(self) -> None:
        self.editor("put(t + 'my words\\n')", "p.with_name(p.name + '~').write_text(t)")
        self.assertIn("draft edit", self.composed("", Exit.INTERRUPTED))
        self.assertEqual([one.body for one in self.drafts()], ["my words\n"])

    def test_on_a_full_disk_the_sheet_stays_and_its_path_is_named(self) -> None:
        """Also if an earlier version of the draft is on disk."""
        key = self.fine("send", "--draft", "d@example.org", "-s", "Half", "-m", "text").strip()

        def full(*_arguments: object) -> str:
            raise ArchiveFull("no space left on the disk")

        self.patch(UserMailbox, "save_draft", full)
        self.editor("put(t + 'my words\\n')")
        for words in (("compose",), ("draft", "edit", key)):
            err = self.run_it(*words, typed="s\n")[2]
            (path,) = self.sheets()
            self.assertIn(f"kept in {path}", err)
            self.assertTrue(path.read_text().endswith("my words\n"))
            path.unlink()

    def test_a_text_typed_for_send_is_kept_if_it_cannot_be_sent(self) -> None:
        """A message without a recipient becomes a draft; a script, which has its text, gets the error alone."""
        status, _, err = self.run_it("send", "-s", "Kept", "--later", typed="my words\n")
        self.assertEqual(status, Exit.DATA)
        self.assertIn("draft edit", err)
        self.assertEqual([one.body for one in self.drafts()], ["my words\n"])
        self.refused(Exit.DATA, "send", "-s", "Kept", "--later", typed=b"my words\n")
        self.assertEqual(len(self.drafts()), 1)

    def test_a_text_in_another_encoding_than_utf_8_is_read(self) -> None:
        """From a pipe, as `cat old.txt | emailsys mail send` reads it, or typed in the encoding of the locale."""
        self.fine("send", "--draft", "d@example.org", "-s", "x", typed="Grüße\n".encode("latin-1"))
        self.assertEqual([one.body for one in self.drafts()], ["Grüße\n"])

    def test_header_fields_of_ones_own_survive_in_drafts(self) -> None:
        """From --field, written in the editor, and stopped in the outbox; but not those that servers added."""
        words = ("d@example.org", "-s", "x", "-m", "x", "--field", "X-Ticket: 7 ü", "--field", "Keywords: a")
        key = self.fine("send", "--draft", *words).strip()
        self.editor("put(t.replace('Keywords: a', 'Keywords: b'))")
        self.fine("draft", "edit", key, typed="d\n")
        sent = self.json("draft", "send", key, "--later")["key"]
        stopped = self.json("outbox", "stop", sent)["draft"]
        fields = [("X-Ticket", "7 ü"), ("Keywords", "b")]
        self.assertEqual(self.mailbox.open_draft(stopped).fields, fields)
        octets = b"Received: by x\r\nDKIM-Signature: a\r\nX-Emailsys-Format: html\r\n" + self.mailbox.archive.octets(
            stopped
        )
        self.mailbox.archive.replace(stopped, octets)
        self.assertEqual(self.mailbox.open_draft(stopped).fields, fields)
