"""The verbs of `emailsys mail`: what they print, what they do to the store, how they end."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.mail.opening import change_folder, execute, folder_names
from emailsys.cli.mail.session import Session, result_of
from emailsys.cli.main import run
from emailsys.client.archive.values import Addition, Flag, Place
from emailsys.client.compose.build import build
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.config.exits import Exit
from tests.unit.screen_case import ALICE, BOB, NOW, account

CHECKOUT = Path(__file__).resolve().parents[2]
READY = (
    b"From: alice@example.org\r\nTo: dora@example.org\r\nBcc: eve@example.org\r\nSubject: Ready\r\n\r\n"
    b"Hello.\r\n.\r\nMore.\r\n"
)


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class Case(SynchronousTestCase):
    """A desk of its own in the environment; alice's Inbox has First and, with a file and HTML, Second."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        places = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        environment = {**os.environ, **places, "HOME": str(self.folder)}
        environment.pop("EMAILSYS_TRACEBACK", None)
        self.patch(os, "environ", environment)
        self.session = Session()
        self.desk = self.session.desk
        self.addCleanup(self.session.close)
        self.desk.accounts_file.put(account("alice"), default=True)
        self.desk.accounts_file.put(account("work"))
        for name in ("alice", "work"):
            self.desk.archive.add_account(name)
        self.first = self.arrive("First", b"")
        self.second = self.arrive("Second", b"a plan")

    def arrive(self, subject: str, file: bytes) -> str:
        draft = Draft(BOB, [ALICE], subject=subject, text=f"the text of {subject}\n")
        if file:
            draft.html = "<p>the HTML form</p>"
            draft.attachments = [Attachment("../plan.txt", file, "text/plain")]
        return self.desk.archive.add(Addition(build(draft, NOW).octets, Place("alice", "Inbox")))

    def run_it(self, *words: str, typed: str | bytes = b"") -> tuple[int, bytes, str]:
        """Exit status, what a pipe would get, what the person is told."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        stdin: io.TextIOBase = Terminal(typed) if isinstance(typed, str) else io.TextIOWrapper(io.BytesIO(typed))
        self.patch(sys, "stdin", stdin)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(["mail", *words])
            out.flush()
        data: bytes = out.buffer.getvalue()
        return status, data, err.getvalue()

    def fine(self, *words: str, typed: str | bytes = b"") -> str:
        status, out, err = self.run_it(*words, typed=typed)
        self.assertEqual(status, 0, err)
        return out.decode()

    def json(self, *words: str, typed: str | bytes = b"") -> Any:
        return json.loads(self.fine(*words, "--json", typed=typed))

    def refused(self, status: Exit, *words: str, typed: str | bytes = b"") -> str:
        ended, out, err = self.run_it(*words, typed=typed)
        self.assertEqual((ended, out), (status, b""), err)
        self.assertNotIn("Traceback", err)
        return err

    def subjects(self, folder: str) -> list[str]:
        return [one.subject for one in self.desk.archive.list(Place("alice", folder))]

    def place(self, key: str) -> str:
        return self.desk.archive.get(key).place.folder


class ProgramTests(Case):
    """The group as a whole."""

    def test_help_is_quick_and_imports_neither_a_reactor_nor_textual(self) -> None:
        """A process of its own: help is printed, and the heavy packages are not there."""
        script = (
            "import sys; from emailsys.cli.main import run; status = run(['mail', '--help']);"
            "heavy = {'twisted', 'textual', 'prompt_toolkit', 'sqlite3', 'sqlalchemy', 'rich'} & set(sys.modules);"
            "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=CHECKOUT)
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("account", "fetch", "structure", "sendmail", "shell", "emailsys mail send --to bob@example.org"):
            self.assertIn(word, done.stdout)

    def test_every_verb_has_help(self) -> None:
        """`emailsys mail VERB --help` says more than its line in the list."""
        from emailsys.cli.mail.group import mail

        for name, line in mail.lines_of_help().items():
            shown = self.fine(name, "--help")
            self.assertIn("Usage: emailsys mail " + name, shown)
            self.assertTrue(line.endswith("."), line)

    def test_without_a_terminal_the_full_screen_says_so(self) -> None:
        """In a script `emailsys mail` alone is a mistake of the command line."""
        self.assertIn("needs a terminal", self.refused(Exit.USAGE))

    def test_a_verb_that_is_not_there_gets_a_suggestion(self) -> None:
        """`serach` is `search`."""
        self.assertIn("'search'", self.refused(Exit.USAGE, "serach", "x"))

    def test_without_an_account_each_verb_says_how_to_add_one(self) -> None:
        """Status 78, and the command."""
        for name in ("alice", "work"):
            self.desk.accounts_file.remove(name)
        for words in (("list",), ("fetch",), ("send", "x@example.org", "-m", "x"), ("outbox", "send")):
            self.assertIn("emailsys mail account add", self.refused(Exit.CONFIG, *words), words)


class ListingTests(Case):
    """list, search, thread."""

    def test_a_list_is_a_table_for_pipes_and_a_document_for_programs(self) -> None:
        """Tabs between columns; JSON has the whole key and the date."""
        lines = self.fine("list").splitlines()
        self.assertEqual(lines[0].split("\t")[:3], ["key", "flags", "date"])
        self.assertEqual(len(lines), 3)
        found = self.json("list", "inbox")
        self.assertEqual({one["key"] for one in found}, {self.first, self.second})
        self.assertEqual(found[0]["from"].partition("<")[0].strip(), "Bob")
        self.desk.archive.set_flags([self.first], add=Flag.SEEN)
        self.assertEqual([one["key"] for one in self.json("list", "--unread")], [self.second])
        self.assertEqual(self.json("list", "work/Inbox"), [])

    def test_a_folder_that_is_not_there_is_named_with_those_that_are(self) -> None:
        """Status 66."""
        self.assertIn("Inbox, Drafts, Outbox", self.refused(Exit.NO_INPUT, "list", "Nowhere"))

    def test_a_search_gives_keys_to_the_next_verb(self) -> None:
        """search --keys | tag +x - : the tag is on disk."""
        keys = self.fine("search", "has:attachment", "--keys")
        self.assertEqual(keys.split(), [self.second])
        self.fine("tag", "+plan", "-", typed=keys.encode())
        self.assertEqual(self.desk.archive.get(self.second).tags, ("plan",))
        self.assertEqual(self.json("tag"), [{"tag": "plan", "messages": 1}])
        self.fine("tag", "-plan", self.second)
        self.assertEqual(self.json("tag"), [])
        self.refused(Exit.USAGE, "tag", self.second)
        self.assertIn("a date is written", self.refused(Exit.USAGE, "search", "before:never"))

    def test_a_conversation_is_listed(self) -> None:
        """The message alone, until it is answered."""
        self.assertEqual([one["key"] for one in self.json("thread", self.first[:10])], [self.first])

    def test_json_of_a_stranger_cannot_reach_the_terminal(self) -> None:
        """C1 controls and bidirectional overrides are escaped; the document says the same."""
        octets = "Subject: a\x9b31mb\u202ec\r\nFrom: x@example.org\r\n\r\n".encode()
        key = self.desk.archive.add(Addition(octets, Place("alice", "Inbox")))
        _, out, _ = self.run_it("search", "from:x", "--json")
        self.assertEqual(set("\x9b\u202e") & set(out.decode()), set())
        self.assertEqual(json.loads(out)[0]["key"], key)


class ReadingTests(Case):
    """show, structure, headers, raw, attachments, save."""

    def test_showing_marks_as_read_unless_told_otherwise(self) -> None:
        """The text, the attachment under its safe name, JSON with the same."""
        shown = self.fine("show", self.second, "--keep-unread")
        self.assertIn("the text of Second", shown)
        self.assertIn("plan.txt, text/plain, 6]", shown)
        self.assertNotIn("..", shown)
        self.assertTrue(self.desk.archive.get(self.second).is_unread)
        document = self.json("show", self.second, "--html")
        self.assertIn("the HTML form", document["body"])
        self.assertFalse(self.desk.archive.get(self.second).is_unread)
        self.assertIn("Message-ID:", self.fine("show", self.first, "--all-headers"))

    def test_the_structure_has_sizes_and_overhead(self) -> None:
        """Every part, in JSON with numbers."""
        rows = self.json("structure", self.second)
        types = [row["content_type"] for row in rows]
        self.assertEqual(types[0], "multipart/mixed")
        self.assertIn("text/html", types)
        self.assertEqual({row["decoded_octets"] for row in rows if row["name"]}, {6})
        self.assertIn("overhead", self.fine("structure", self.second).splitlines()[0])

    def test_raw_is_octet_for_octet(self) -> None:
        """What a pipe gets is what came."""
        _, out, _ = self.run_it("raw", self.second)
        self.assertEqual(out, self.desk.archive.octets(self.second))
        self.assertIn(["Subject", "Second"], self.json("headers", self.second))

    def test_attachments_are_saved_under_safe_names_and_overwrite_nothing(self) -> None:
        """Twice gives two files; one goes to standard output; a name that is not there is told with those that are."""
        self.assertEqual([one["name"] for one in self.json("attachments", self.second)], ["plan.txt"])
        target = self.folder / "out"
        first = self.fine("save", self.second, "--to", str(target)).strip()
        second = self.fine("save", self.second, "plan.txt", "--to", str(target)).strip()
        self.assertEqual(sorted(path.name for path in target.iterdir()), ["plan (2).txt", "plan.txt"])
        self.assertEqual([Path(path).read_bytes() for path in (first, second)], [b"a plan"] * 2)
        self.assertEqual(self.run_it("save", self.second, "--stdout")[1], b"a plan")
        self.assertIn("plan.txt", self.refused(Exit.NO_INPUT, "save", self.second, "other"))
        self.refused(Exit.NO_INPUT, "save", self.first)

    def test_a_key_that_is_nobodys_is_no_input(self) -> None:
        """Status 66 for each verb that takes one."""
        for verb in ("show", "raw", "structure", "headers", "attachments", "thread", "reply", "delete"):
            self.assertIn("no message", self.refused(Exit.NO_INPUT, verb, "zzzzzzz"))


class HandlingTests(Case):
    """flag, move, delete, undelete, folder."""

    def test_messages_are_marked_moved_deleted_and_brought_back(self) -> None:
        """Each step is on disk when the verb ends."""
        self.fine("flag", "flagged", self.first, self.second)
        self.assertTrue(self.desk.archive.get(self.first).flags & Flag.FLAGGED)
        self.fine("flag", "unflagged", self.first)
        self.assertFalse(self.desk.archive.get(self.first).flags & Flag.FLAGGED)
        self.fine("move", self.first, "--to", "archive")
        self.assertEqual(self.place(self.first), "Archive")
        self.fine("move", self.first, "--to", "work/Inbox")
        self.assertEqual(self.desk.archive.get(self.first).place, Place("work", "Inbox"))
        self.fine("delete", self.second)
        self.assertEqual(self.place(self.second), "Trash")
        self.fine("undelete", self.second)
        self.assertEqual(self.place(self.second), "Inbox")
        self.refused(Exit.DATA, "undelete", self.second)
        self.fine("delete", "--for-good", self.second)
        self.refused(Exit.NO_INPUT, "show", self.second)

    def test_the_outbox_is_no_folder_to_move_from(self) -> None:
        """What waits there is stopped, not moved or deleted."""
        key = self.json("send", "dora@example.org", "-s", "x", "-m", "x", "--later")["key"]
        self.assertIn("outbox stop", self.refused(Exit.DATA, "move", key, "--to", "Archive"))
        self.assertIn("stop it first", self.refused(Exit.IO, "delete", key))

    def test_folders_are_made_renamed_and_removed(self) -> None:
        """Standard ones stay; Trash is emptied after a question."""
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
    """import, export, reindex."""

    def test_what_is_exported_comes_back_octet_for_octet(self) -> None:
        """By maildir and .eml files exactly; an mbox has the same messages."""
        before = {self.desk.archive.octets(key) for key in (self.first, self.second)}
        for form, target in (("maildir", "Maildir"), ("eml", "files"), ("mbox", "all.mbox")):
            path = str(self.folder / target)
            self.assertEqual(self.json("export", form, path)["messages"], 2)
            self.assertEqual(self.json("import", path, "--to", "work/Archive")["messages"], 2)
            found = self.desk.archive.list(Place("work", "Archive"))
            got = {self.desk.archive.octets(one.key) for one in found}
            if form == "mbox":
                got = {one.replace(b"\n", b"\r\n") for one in got}
            self.assertEqual(got, before, form)
            self.fine("delete", "--for-good", *(one.key for one in found))
        self.assertEqual(self.json("export", "eml", str(self.folder / "one"), "--key", self.first)["messages"], 1)
        self.assertEqual(self.json("reindex")["messages"], 2)
        self.refused(Exit.USAGE, "export", "eml", "x", "Inbox", "--key", self.first)


class WritingTests(Case):
    """send, sendmail, reply, forward, draft, outbox, up to the outbox."""

    def queued(self, document: Any) -> Any:
        """The draft, and the envelope, of what was put into the outbox."""
        one = self.desk.outbox.get(document["key"])
        return self.desk.open_draft(one.key), one.sender, set(one.recipients)

    def test_a_message_of_options_and_standard_input(self) -> None:
        """Recipients from three options, a file, Markdown, another field."""
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
        self.assertIn(b"X-Ticket: 7\r\n", self.desk.archive.octets(document["key"]))

    def test_from_chooses_the_account(self) -> None:
        """--from with the address of another account sends by that one."""
        document = self.json(
            "send", "d@example.org", "--from", "Me <work@example.org>", "-s", "x", "-m", "x", "--later"
        )
        self.assertEqual(self.desk.outbox.get(document["key"]).account, "work")

    def test_a_mailto_link_is_taken_apart(self) -> None:
        """Its subject and text, and no attachment."""
        document = self.json("send", "mailto:d@example.org?subject=Hi%20there&body=Yes&attach=/etc/passwd", "--later")
        draft, _, recipients = self.queued(document)
        self.assertEqual((recipients, draft.subject, draft.body.strip()), ({"d@example.org"}, "Hi there", "Yes"))
        self.assertEqual(draft.attachments, [])

    def test_sendmails_pipe(self) -> None:
        """-t takes recipients from the header and Bcc out; a lone dot ends it unless -i or -oi is given."""
        for words, more in ((("sendmail", "-t", "-oem"), False), (("sendmail", "-t", "-oi"), True),
                            (("send", "-t", "-i"), True)):  # fmt: skip
            document = self.json(*words, "-f", "work@example.org", "--later", typed=READY)
            octets = self.desk.archive.octets(document["key"])
            _, sender, recipients = self.queued(document)
            self.assertEqual(recipients, {"dora@example.org", "eve@example.org"})
            self.assertEqual(sender, "work@example.org")
            self.assertNotIn(b"eve@", octets)
            self.assertEqual(b"More." in octets, more)
        self.refused(Exit.DATA, "sendmail", "--later", typed=b"Subject: nobody\n\nx\n")
        self.refused(Exit.USAGE, "sendmail", "-f", "not an address", "--later", "d@example.org", typed=READY)

    def test_a_finished_file_is_sent_as_it_is(self) -> None:
        """--eml: to those who are named, else to those of its header."""
        path = self.folder / "ready.eml"
        path.write_bytes(READY)
        _, _, recipients = self.queued(self.json("send", "--eml", str(path), "other@example.org", "--later"))
        self.assertEqual(recipients, {"other@example.org"})
        _, _, recipients = self.queued(self.json("send", "--eml", str(path), "--later"))
        self.assertEqual(recipients, {"dora@example.org", "eve@example.org"})

    def test_answers_and_passing_on(self) -> None:
        """Quoted, in the conversation; the original is marked; forward has the whole message."""
        draft, _, recipients = self.queued(self.json("reply", self.first, "-m", "Thanks.", "--later"))
        self.assertEqual((draft.subject, recipients), ("Re: First", {"bob@example.org"}))
        self.assertTrue(draft.body.startswith("Thanks."))
        self.assertIn("> the text of First", draft.body)
        self.assertTrue(self.desk.archive.get(self.first).flags & Flag.ANSWERED)
        draft, _, _ = self.queued(self.json("forward", self.second, "d@example.org", "-m", "See.", "--later"))
        self.assertEqual(draft.attachments[0].octets, self.desk.archive.octets(self.second))
        self.assertTrue(self.desk.archive.get(self.second).flags & Flag.FORWARDED)
        self.assertIn("no terminal for an editor", self.refused(Exit.USAGE, "reply", self.first))

    def test_drafts_are_kept_gone_on_with_and_sent(self) -> None:
        """The editor is the person's own; what was sent is no draft any more."""
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
        """q puts it into Trash, nothing is lost; s sends."""
        os.environ["VISUAL"] = "true"
        status, _, _ = self.run_it("compose", "d@example.org", "-s", "Never", typed="q\n")
        self.assertEqual((status, self.subjects("Trash")), (Exit.FAILED, ["Never"]))
        self.fine("compose", "d@example.org", "-s", "Sent later", "--later", typed="s\n")
        self.assertEqual((self.subjects("Outbox"), self.subjects("Drafts")), (["Sent later"], []))

    def test_what_waits_can_be_stopped_and_is_told_so(self) -> None:
        """outbox lists it, stop makes a draft of it; once more there is nothing to stop."""
        key = self.json("send", "d@example.org", "-s", "Wait", "-m", "x", "--hold", "100", "--later")["key"]
        waiting = self.json("outbox", "list")
        self.assertEqual([(one["key"], one["state"]) for one in waiting], [(key, "held")])
        self.assertTrue(self.json("outbox", "stop", key)["stopped"])
        self.assertEqual(self.subjects("Drafts"), ["Wait"])
        self.assertEqual(self.json("outbox", "list"), [])

    def test_a_forgotten_attachment_is_told(self) -> None:
        """In a script as a warning; at a terminal n keeps it as a draft."""
        words = ("send", "d@example.org", "-s", "Report", "-m", "The report is attached.", "--later")
        self.assertIn("nothing is attached", self.run_it(*words)[2])
        self.assertEqual(self.run_it(*words, typed="n\n")[0], Exit.FAILED)
        self.assertEqual(self.subjects("Drafts"), ["Report"])

    def test_mistakes_are_named(self) -> None:
        """Each with its status; nothing is put into the outbox."""
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
    """account add (without a network), list, show, default, remove."""

    def add(self, *words: str) -> tuple[int, str]:
        """Run `account add` on a clock in place of a reactor: nothing is asked of a network."""

        def at_once(work: Any) -> Any:
            ended: list[Any] = []
            running = Deferred.fromCoroutine(work(Clock())).addBoth(ended.append)
            self.assertEqual(running.called, True)
            return result_of(ended[0])

        err = io.StringIO()
        session = Session(at_once)
        self.addCleanup(session.close)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            return execute(session, ["account", "add", *words]), err.getvalue()

    def test_an_account_is_written_without_its_password(self) -> None:
        """Ports tell the kind of TLS; the command stands in the file, no secret does."""
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
        """The address alone; a token command makes it XOAUTH2."""
        status, said = self.add("someone@gmail.com", "--token-command", "get-token", "--no-network")
        self.assertEqual(status, 0, said)
        shown = self.json("account", "show", "someone@gmail.com")
        self.assertEqual((shown["pop3"]["host"], shown["pop3"]["auth"]), ("pop.gmail.com", "token"))
        self.assertEqual(shown["smtp"]["auth"], "token")

    def test_an_account_that_only_sends(self) -> None:
        """--pop3 none: it has no server to fetch from, and fetch says so."""
        status, said = self.add(
            "out@example.org", "--pop3", "none", "--smtp", "host", "--password-command", "true", "--no-network"
        )
        self.assertEqual(status, 0, said)
        self.assertIsNone(self.json("account", "show", "out@example.org")["pop3"])

    def test_the_default_is_changed_and_named(self) -> None:
        """account list says which one it is."""
        self.fine("account", "default", "work")
        rows = {one["account"]: one["default"] for one in self.json("account", "list")}
        self.assertEqual(rows, {"alice": False, "work": True})

    def test_impossible_options_are_refused_before_anything_is_asked(self) -> None:
        """Status 64 for ports, sizes, keeps and two sources of a password; 65 for a name that is taken."""
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
    """The line by line session, without its editor."""

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
        """list, then show 1, flag 1-2; a number that is not there is told."""
        _, out, _ = self.do("list")
        self.assertTrue(out.startswith("no\tflags"))
        numbered = list(self.inner.numbered or [])
        self.assertEqual(set(numbered), {self.first, self.second})
        subject = self.desk.archive.get(numbered[0]).subject
        self.assertIn(f"the text of {subject}", self.do("show", "1")[1])
        self.do("flag", "flagged", "1-2")
        self.assertTrue(self.desk.archive.get(self.second).flags & Flag.FLAGGED)
        self.assertEqual(self.do("show", "9")[0], Exit.NO_INPUT)

    def test_an_error_does_not_end_the_session(self) -> None:
        """It is told, with its status, and the next verb works."""
        self.assertEqual(self.do("frobnicate")[0], Exit.USAGE)
        self.assertEqual(self.do("search", "before:never")[0], Exit.USAGE)
        self.assertEqual(self.do("list")[0], 0)

    def test_another_folder_is_listed_from_then_on(self) -> None:
        """cd Archive; one that is not there changes nothing."""
        self.fine("move", self.first, "--to", "Archive")
        self.assertEqual(change_folder(self.inner, "archive"), "alice/Archive")
        self.assertIn("First", self.do("list")[1])
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(change_folder(self.inner, "nowhere"), "")
        self.assertIn("has no folder", err.getvalue())
        self.assertIn("work/Inbox", list(folder_names(self.inner)))
