"""Verbs of `emailsys mail` that write messages, verbs for accounts, and the mail shell."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from emailsys.cli.mail import session as mail_session
from emailsys.cli.mail.session import Session
from emailsys.cli.mail.verbs.shell import change_folder, execute, folder_names
from emailsys.client.archive.values import Flag, Folder
from emailsys.client.online import MailTransfer
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case

CASES: Final = Path(__file__).resolve().parents[4] / "data" / "cases"
READY = (
    b"From: alice@example.org\r\nTo: dora@example.org\r\nBcc: eve@example.org\r\nSubject: Ready\r\n\r\n"
    b"Hello.\r\n.\r\nMore.\r\n"
)


class WritingTests(Case):
    """The verbs send, sendmail, reply, forward, draft and outbox, up to the outbox."""

    def queued(self, document: Any) -> Any:
        """Return the draft and the envelope of the message in the outbox."""
        one = self.mailbox.outbox.get(document["key"])
        return self.mailbox.open_draft(one.key), one.sender, set(one.recipients)

    def test_a_message_of_options_and_standard_input(self) -> None:
        """Recipients from three options, an attachment, Markdown and another header field are in the message."""
        file = self.folder / "a.pdf"
        file.write_bytes(b"%PDF-1.4")
        document = self.json(
            "send", "dora@example.org", "--cc", "Eve <eve@example.org>", "--bcc", "fred@example.org", "-s", "Grüße",
            "-A", str(file), "--markdown", "--field", "X-Ticket: 7", "--later", typed="# Hällo\n".encode(),
        )  # fmt: skip
        draft, sender, recipients = self.queued(document)
        self.assertEqual(recipients, {"dora@example.org", "eve@example.org", "fred@example.org"})
        self.assertEqual((sender, draft.subject, draft.bcc), ("alice@example.org", "Grüße", []))
        self.assertIn("<h1>Hällo</h1>", draft.html)
        self.assertEqual(draft.attachments[0].content_type, "application/pdf")
        self.assertIn(b"X-Ticket: 7\r\n", self.mailbox.archive.octets(document["key"]))

    def test_from_chooses_the_account(self) -> None:
        """--from with the address of another account sends with that account."""
        document = self.json(
            "send", "d@example.org", "--from", "Me <work@example.org>", "-s", "x", "-m", "x", "--later"
        )
        self.assertEqual(self.mailbox.outbox.get(document["key"]).account, "work")

    def test_a_mailto_link_is_taken_apart(self) -> None:
        """A mailto: link sets subject and text, but attaches no file."""
        document = self.json("send", "mailto:d@example.org?subject=Hi%20there&body=Yes&attach=/etc/passwd", "--later")
        draft, _, recipients = self.queued(document)
        self.assertEqual((recipients, draft.subject, draft.body.strip()), ({"d@example.org"}, "Hi there", "Yes"))
        self.assertEqual(draft.attachments, [])

    def test_sendmails_pipe(self) -> None:
        """-t takes recipients from the header and removes Bcc. Without -i or -oi, a single dot ends the message."""
        for words, more in ((("sendmail", "-t", "-oem"), False), (("sendmail", "-t", "-oi"), True),
                            (("send", "-t", "-i"), True)):  # fmt: skip
            document = self.json(*words, "-f", "work@example.org", "--later", typed=READY)
            octets = self.mailbox.archive.octets(document["key"])
            _, sender, recipients = self.queued(document)
            self.assertEqual(recipients, {"dora@example.org", "eve@example.org"})
            self.assertEqual(sender, "work@example.org")
            self.assertNotIn(b"eve@", octets)
            self.assertEqual(b"More." in octets, more)
        self.refused(Exit.DATA, "sendmail", "--later", typed=b"Subject: nobody\n\nx\n")
        self.refused(Exit.USAGE, "sendmail", "-f", "not an address", "--later", "d@example.org", typed=READY)

    def test_sendmail_drops_the_from_line_of_an_mbox(self) -> None:
        """cron and other programs pass on "From root ..."; without a header after it, To would be text."""
        octets = (CASES / "sendmail-from-line.txt").read_bytes()
        for typed in (octets, b">" + octets, octets.replace(b"\n", b"\r\n"), octets.split(b"\n", 1)[1]):
            document = self.json("sendmail", "-t", "--later", typed=typed)
            draft, _, recipients = self.queued(document)
            self.assertEqual((recipients, draft.subject), ({"alice@example.org"}, "Cron run"), typed)
            self.assertNotIn(b"From root", self.mailbox.archive.octets(document["key"]))
        draft, _, _ = self.queued(self.json("sendmail", "-t", "--later", typed=b"To: d@example.org\n\nFrom me\n"))
        self.assertEqual(draft.text.strip(), "From me")

    def test_the_options_of_sendmail(self) -> None:
        """With and without a blank before their values; those that only steer a daemon are ignored."""
        cases: tuple[tuple[tuple[str, ...], list[bool] | None], ...] = (
            (("-N", "failure,delay", "-R", "hdrs", "-V", "x", "-bm"), [False, True, True, False]),
            (("-Nnever", "-Rfull", "-B", "8BITMIME", "-oem"), [False, False, False, True]),
            (("-oi", "-odb", "-O", "x=y", "-B8BITMIME"), None),
        )
        for words, notices in cases:
            document = self.json("sendmail", *words, "d@example.org", "--later", typed=b"Subject: x\n\nx\n")
            note = self.mailbox.archive.note(document["key"]) or {}
            self.assertEqual(note["envelope"]["notices"], notices, words)
            self.assertEqual(self.queued(document)[2], {"d@example.org"})
        # Postfix sends the message nevertheless.
        for ignored in (("-N", "sometimes"), ("-N", "never,delay"), ("-R", "some")):
            status, _, err = self.run_it("sendmail", *ignored, "d@example.org", "--later", typed=b"Subject: x\n\nx\n")
            self.assertEqual(status, 0)
            self.assertIn("is ignored", err)
        for wrong in (("-bd",), ("-bp",), ("-q",), ("-z",), ("-bs",)):
            self.refused(Exit.USAGE, "sendmail", *wrong, "d@example.org", "--later", typed=b"Subject: x\n\nx\n")
        # They would be sent at once.
        for option, value in (("--hold", "5"), ("--at", "tomorrow")):
            self.refused(Exit.USAGE, "sendmail", "-bs", option, value, typed=b"QUIT\r\n")

    def test_a_report_has_the_null_reverse_path(self) -> None:
        for path in ("<>", ""):
            document = self.json("sendmail", "-f", path, "d@example.org", "--later", typed=b"Subject: x\n\nx\n")
            note = self.mailbox.archive.note(document["key"]) or {}
            self.assertEqual(note["envelope"]["from"], "")

    def test_a_message_that_is_sent_again_goes_to_its_resent_recipients(self) -> None:
        """RFC 5322 §3.6.6: those of To have it already."""
        again = b"Resent-To: eve@example.org\nResent-Bcc: f@example.org\nResent-From: work@example.org\n" + READY
        document = self.json("sendmail", "-t", "--later", typed=again)
        _, sender, recipients = self.queued(document)
        self.assertEqual((sender, recipients), ("work@example.org", {"eve@example.org", "f@example.org"}))
        self.assertNotIn(b"Bcc", self.mailbox.archive.octets(document["key"]))

    def test_a_finished_file_is_sent_as_it_is(self) -> None:
        """--eml sends a message to the named recipients, or else to those of its header."""
        path = self.folder / "ready.eml"
        path.write_bytes(READY)
        _, _, recipients = self.queued(self.json("send", "--eml", str(path), "other@example.org", "--later"))
        self.assertEqual(recipients, {"other@example.org"})
        _, _, recipients = self.queued(self.json("send", "--eml", str(path), "--later"))
        self.assertEqual(recipients, {"dora@example.org", "eve@example.org"})

    def test_answers_and_passing_on(self) -> None:
        """A reply quotes the message in its conversation and marks it as answered. A forward attaches the whole
        message.
        """
        draft, _, recipients = self.queued(self.json("reply", self.first, "-m", "Thanks.", "--later"))
        self.assertEqual((draft.subject, recipients), ("Re: First", {"bob@example.org"}))
        self.assertTrue(draft.body.startswith("Thanks."))
        self.assertIn("> the text of First", draft.body)
        self.assertTrue(self.mailbox.archive.get(self.first).flags & Flag.ANSWERED)
        draft, _, _ = self.queued(self.json("forward", self.second, "d@example.org", "-m", "See.", "--later"))
        self.assertEqual(draft.attachments[0].octets, self.mailbox.archive.octets(self.second))
        self.assertTrue(self.mailbox.archive.get(self.second).flags & Flag.FORWARDED)
        self.assertIn("no terminal for the editor", self.refused(Exit.USAGE, "reply", self.first))

    def test_drafts_are_saved_continued_and_sent(self) -> None:
        """A draft opens in the user's own editor. After it is sent, it is no longer a draft."""
        key = self.fine("send", "--draft", "d@example.org", "-s", "Half", "-m", "text").strip()
        self.assertEqual([one["key"] for one in self.json("draft", "list")], [key])
        script = self.folder / "editor.py"
        script.write_text(
            "import sys, pathlib\np = pathlib.Path(sys.argv[1])\np.write_text(p.read_text().replace('Half', 'Whole'))\n"
        )
        os.environ["VISUAL"] = f"{sys.executable} {script}"
        self.fine("draft", "edit", key, typed="d\n")
        self.assertEqual(self.subjects("Drafts"), ["Whole"])
        document = self.json("draft", "send", key, "--later")
        self.assertEqual(self.queued(document)[0].subject, "Whole")
        self.assertEqual((self.subjects("Drafts"), self.subjects("Trash")), ([], []))
        self.refused(Exit.DATA, "draft", "send", self.first)

    def test_composing_in_an_editor_asks_what_to_do(self) -> None:
        """q moves the draft to Trash, so that nothing is lost; s sends it."""
        os.environ["VISUAL"] = "true"
        status, _, _ = self.run_it("compose", "d@example.org", "-s", "Never", typed="q\n")
        self.assertEqual((status, self.subjects("Trash")), (Exit.FAILED, ["Never"]))
        self.fine("compose", "d@example.org", "-s", "Sent later", "--later", typed="s\n")
        self.assertEqual((self.subjects("Outbox"), self.subjects("Drafts")), (["Sent later"], []))

    def test_a_waiting_message_can_be_stopped_once(self) -> None:
        """`outbox` lists the message, and `outbox stop` makes it a draft. A second stop fails."""
        key = self.json("send", "d@example.org", "-s", "Wait", "-m", "x", "--hold", "100", "--later")["key"]
        waiting = self.json("outbox", "list")
        self.assertEqual([(one["key"], one["state"]) for one in waiting], [(key, "held")])
        self.assertTrue(self.json("outbox", "stop", key)["stopped"])
        self.assertEqual(self.subjects("Drafts"), ["Wait"])
        self.assertEqual(self.json("outbox", "list"), [])

    def test_a_message_that_may_have_arrived_is_sent_again_only_on_request(self) -> None:
        """`outbox send` asks on a terminal, and sends without asking with --again."""

        def due() -> list[str]:
            return [one["state"] for one in self.json("outbox", "list")]

        async def flush(_transfer: Any, accounts: Any) -> list[Any]:
            return []

        self.patch(MailTransfer, "flush", flush)
        self.patch(mail_session, "run_once", self.at_once)
        for words, typed, status, state in (
            ((), b"", Exit.TEMPORARY, "may have arrived"),
            ((), "n\n", Exit.TEMPORARY, "may have arrived"),
            ((), "y\n", Exit.OK, "waiting"),
            (("--again",), b"", Exit.OK, "waiting"),
        ):
            key = self.json("send", "d@example.org", "-s", "Doubt", "-m", "x", "--later")["key"]
            job = self.mailbox.outbox.begin(key)
            assert job is not None
            self.mailbox.outbox.record_last_octets(job)
            self.mailbox.outbox.end(job)
            ended, _, err = self.run_it("outbox", "send", *words, typed=typed)
            self.assertEqual((ended, due()), (status, [state]), err)
            self.assertEqual("may have arrived" in err, not words)
            self.fine("outbox", "stop", key)

    def test_a_forgotten_attachment_is_reported(self) -> None:
        """A script gets a warning. On a terminal, the answer n saves a draft."""
        words = ("send", "d@example.org", "-s", "Report", "-m", "The report is attached.", "--later")
        self.assertIn("nothing is attached", self.run_it(*words)[2])
        self.assertEqual(self.run_it(*words, typed="n\n")[0], Exit.FAILED)
        self.assertEqual(self.subjects("Drafts"), ["Report"])

    def test_mistakes_are_named(self) -> None:
        """Each mistake has its exit status, and nothing is put into the outbox."""
        for status, words in (
            (Exit.USAGE, ("send", "not an address", "-m", "x")),
            (Exit.USAGE, ("send", "d@example.org", "-m", "x", "--inline", "logo")),
            (Exit.USAGE, ("send", "d@example.org", "-m", "x", "--field", "X-Y")),
            (Exit.DATA, ("send", "-s", "x", "-m", "x")),
            (Exit.DATA, ("send", "d@example.org", "-m", "x", "-A", "nowhere.pdf")),
            (Exit.DATA, ("send", "d@example.org", "-s", "x", "-m", "x", "--field", "Bcc: e@example.org")),
        ):
            self.refused(status, *words, "--later")
        self.assertEqual(self.json("outbox", "list"), [])


class AccountTests(Case):
    """The verbs account add (without a network), list, show, default and remove."""

    def add(self, *words: str) -> tuple[int, str]:
        """Run `account add` on a clock in place of a reactor, without a network."""
        err = io.StringIO()
        session = Session(self.at_once)
        self.addCleanup(session.close)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            return execute(session, ["account", "add", *words]), err.getvalue()

    def test_a_name_that_no_folder_can_have_leaves_nothing(self) -> None:
        """Windows reserves com1, and the mail of the account is kept in a folder of its name."""
        for name in ("com1", "NUL", "a/b", ".hidden", "x."):
            words = ("--pop3", "p.example.org", "--smtp", "s.example.org", "--password-command", "true", "--no-network")
            status, said = self.add("com1@example.org", "--name", name, *words)
            self.assertNotEqual(status, 0, name)
            self.assertIn("Choose another --name", said)
            self.assertNotIn(name, self.mailbox.accounts_file.load())

    def test_an_account_is_written_without_its_password(self) -> None:
        """The port decides the kind of TLS. The file has the password command, but no secret."""
        status, said = self.add(
            "new@example.org", "--name", "new", "--pop3", "pop.example.org:110", "--smtp", "smtp.example.org",
            "--password-command", "echo secret", "--keep", "7", "--max-size", "2M", "--no-network",
        )  # fmt: skip
        self.assertEqual(status, 0, said)
        shown = self.json("account", "show", "new")
        self.assertEqual((shown["pop3"]["port"], shown["pop3"]["security"]), (110, "starttls"))
        self.assertEqual((shown["smtp"]["port"], shown["smtp"]["security"]), (465, "tls"))
        self.assertEqual((shown["keep"], shown["max_octets"]), ("7 days", 2 << 20))
        self.assertEqual(shown["pop3"]["secret"], "command")
        self.assertNotIn("echo", json.dumps(shown))
        self.assertIn("pop3.host = pop.example.org", self.fine("account", "show", "new"))

    def test_a_known_providers_settings_need_no_network(self) -> None:
        """The address is enough. A token command selects XOAUTH2."""
        status, said = self.add("someone@gmail.com", "--token-command", "get-token", "--no-network")
        self.assertEqual(status, 0, said)
        shown = self.json("account", "show", "someone@gmail.com")
        self.assertEqual((shown["pop3"]["host"], shown["pop3"]["auth"]), ("pop.gmail.com", "token"))
        self.assertEqual(shown["smtp"]["auth"], "token")

    def test_an_account_that_only_sends(self) -> None:
        """With `--pop3 none`, fetch says that the account has no server to fetch from."""
        status, said = self.add(
            "out@example.org", "--pop3", "none", "--smtp", "host", "--password-command", "true", "--no-network"
        )
        self.assertEqual(status, 0, said)
        self.assertIsNone(self.json("account", "show", "out@example.org")["pop3"])

    def test_the_default_is_changed_and_named(self) -> None:
        """`account list` shows the default account."""
        self.fine("account", "default", "work")
        rows = {one["account"]: one["default"] for one in self.json("account", "list")}
        self.assertEqual(rows, {"alice": False, "work": True})

    def test_impossible_options_are_refused_before_anything_is_asked(self) -> None:
        """Invalid ports, sizes, --keep and two password sources exit with 64; a name that is taken exits with 65."""
        base = ("account", "add", "n@example.org", "--password-command", "true", "--no-network")
        for words in (
            ("--pop3", "host:0", "--smtp", "host"),
            ("--pop3", "host", "--smtp", "host", "--max-size", "big"),
            ("--pop3", "host", "--smtp", "host", "--keep", "forever"),
            ("--ask",),
        ):
            self.refused(Exit.USAGE, *base, *words)
        self.refused(Exit.DATA, *base, "--name", "alice")


class ShellTests(Case):
    """The mail shell, without its line editor."""

    def setUp(self) -> None:
        super().setUp()
        self.inner = Session()
        self.addCleanup(self.inner.close)
        self.inner.numbered = []

    def do(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = execute(self.inner, list(words))
        return status, out.getvalue(), err.getvalue()

    def test_a_number_means_a_message_of_the_last_list(self) -> None:
        """After `list`, `show 1` and `flag 1-2` work. An unknown number is an error."""
        _, out, _ = self.do("list")
        self.assertTrue(out.startswith("no\tflags"))
        numbered = [one.key for one in self.inner.numbered or []]
        self.assertEqual(set(numbered), {self.first, self.second})
        subject = self.mailbox.archive.get(numbered[0]).subject
        self.assertIn(f"the text of {subject}", self.do("show", "1")[1])
        self.do("flag", "flagged", "1-2")
        self.assertTrue(self.mailbox.archive.get(self.second).flags & Flag.FLAGGED)
        self.assertEqual(self.do("show", "9")[0], Exit.NO_INPUT)

    def test_a_number_that_is_deleted_twice_is_only_moved_to_trash(self) -> None:
        """The list showed it in the Inbox. What a list showed in Trash is deleted for good after a question."""
        self.do("list")
        self.assertIn("moved to Trash", self.do("delete", "1")[2])
        self.assertIn("1 message not changed: now in another folder", self.do("delete", "1")[2])
        self.assertIn("in Trash already", self.do("delete", self.trashed_key())[2])
        self.do("list", "Trash")
        for answer, status, left in (("n\n", Exit.FAILED, 1), ("y\n", Exit.OK, 0)):
            self.patch(sys, "stdin", io.StringIO(answer))
            ended, _, err = self.do("delete", "1")
            self.assertEqual((ended, len(self.subjects("Trash"))), (status, left))
            self.assertIn("Delete 1 message for good?", err)

    def trashed_key(self) -> str:
        """List the Inbox, so that the message in Trash is not in the last list. Return its key."""
        self.do("list")
        (one,) = self.mailbox.archive.list(Folder("alice", "Trash"))
        return one.key

    def test_an_error_does_not_end_the_session(self) -> None:
        """The error and its exit status are reported, and the next verb works."""
        self.assertEqual(self.do("frobnicate")[0], Exit.USAGE)
        self.assertEqual(self.do("search", "before:never")[0], Exit.USAGE)
        self.assertEqual(self.do("list")[0], 0)

    def test_another_folder_is_listed_from_then_on(self) -> None:
        """`cd Archive` changes the folder; an unknown folder changes nothing."""
        self.fine("move", self.first, "--to", "Archive")
        self.assertEqual(change_folder(self.inner, "archive"), "alice/Archive")
        self.assertIn("First", self.do("list")[1])
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(change_folder(self.inner, "nowhere"), "")
        self.assertIn("has no folder", err.getvalue())
        self.assertIn("work/Inbox", list(folder_names(self.inner)))
