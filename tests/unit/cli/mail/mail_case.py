"""Base case of tests of `emailsys mail`: a mailbox in the environment, and its verbs run on it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.mail.session import Session, result_of
from emailsys.cli.main import run
from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.message_builder import build
from emailsys.config.exit_status import Exit
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW, account


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def buffer(self) -> io.BytesIO:
        """What is still unread, as octets."""
        return io.BytesIO(self.read().encode())


class Case(SynchronousTestCase):
    """A mailbox of its own. Alice's Inbox has First and Second; Second has an attachment and HTML."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        homes = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        environment = {**os.environ, **homes, "HOME": str(self.folder)}
        environment.pop("EMAILSYS_TRACEBACK", None)
        self.patch(os, "environ", environment)
        self.session = Session()
        self.mailbox = self.session.mailbox
        self.addCleanup(self.session.close)
        self.mailbox.accounts_file.put(account("alice"), default=True)
        self.mailbox.accounts_file.put(account("work"))
        for name in ("alice", "work"):
            self.mailbox.archive.add_account(name)
        self.first = self.arrive("First", b"")
        self.second = self.arrive("Second", b"a plan")

    def arrive(self, subject: str, file: bytes) -> str:
        draft = Draft(BOB, [ALICE], subject=subject, text=f"the text of {subject}\n")
        if file:
            draft.html = "<p>the HTML form</p>"
            draft.attachments = [Attachment("../plan.txt", file, "text/plain")]
        return self.mailbox.archive.add(Addition(build(draft, NOW).octets, Folder("alice", "Inbox")))

    def run_it(self, *words: str, typed: str | bytes = b"") -> tuple[int, bytes, str]:
        """Run a verb. Return its exit status, standard output as a pipe gets it, and standard error."""
        return self.run_command("mail", *words, typed=typed)

    def run_command(self, *words: str, typed: str | bytes = b"") -> tuple[int, bytes, str]:
        """Run a command as `run_it` runs a verb."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        stdin: io.TextIOBase = Terminal(typed) if isinstance(typed, str) else io.TextIOWrapper(io.BytesIO(typed))
        self.patch(sys, "stdin", stdin)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(words)
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

    def at_once(self, work: Any) -> Any:
        """Run work that needs no network, on a clock in place of a reactor."""
        ended: list[Any] = []
        running = Deferred.fromCoroutine(work(Clock())).addBoth(ended.append)
        self.assertEqual(running.called, True)
        return result_of(ended[0])

    def subjects(self, folder: str) -> list[str]:
        return [one.subject for one in self.mailbox.archive.list(Folder("alice", folder))]

    def folder_of(self, key: str) -> str:
        return self.mailbox.archive.get(key).folder.name
