"""`account add` sends the password to no host that anybody may have named, unless the user agrees."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from emailsys.cli.mail import account_setup
from emailsys.cli.mail.session import Session, result_of
from emailsys.cli.mail.verbs.shell import execute
from emailsys.client.accounts.discovery import Discovery, Found
from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, Security, Server
from emailsys.client.trial.result import TrialResult
from emailsys.mail.address import Address
from tests.unit.cli.mail.mail_case import Case

OURS: Final = "mail.example.org"
THEIRS: Final = "mail.attacker.example"


def found(host: str, *unproven: str) -> Found:
    """What a source names."""
    server = Server(host, 995, Security.TLS, "n@example.org")
    return Found((server,), (server,), "a source", unproven=frozenset(unproven))


class Terminal(io.TextIOWrapper):
    """Standard input of a person at a terminal."""

    def isatty(self) -> bool:
        return True


class ConsentTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.tried: list[str] = []
        self.knew: list[str] = []
        self.asked: list[str] = []
        self.agrees = True
        self.discovered: list[Found] = [found(THEIRS, THEIRS), found(OURS)]

        async def discover(discovery: Discovery, address: Address) -> Sequence[Found]:
            return self.discovered

        async def try_account(reactor: Any, one: Account, secrets: Secrets) -> list[TrialResult]:
            assert one.pop3 is not None
            self.tried.append(one.pop3.host)
            return [TrialResult(one.pop3, "pop3")]

        def confirm(text: str, **how: Any) -> bool:
            self.asked.append(text)
            return self.agrees

        self.patch(Discovery, "discover", discover)
        self.patch(account_setup, "try_account", try_account)
        self.patch(click, "confirm", confirm)

    def add(self, *words: str, terminal: bool) -> tuple[int, str]:
        """Run `account add`."""

        def at_once(work: Any) -> Any:
            ended: list[Any] = []
            running = Deferred.fromCoroutine(work(Clock())).addBoth(ended.append)
            self.assertTrue(running.called)
            return result_of(ended[0])

        err = io.StringIO()
        session = Session(at_once)
        self.addCleanup(session.close)
        stdin = Terminal(io.BytesIO()) if terminal else io.TextIOWrapper(io.BytesIO())
        self.patch(sys, "stdin", stdin)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            status = execute(session, ["account", "add", "n@example.org", "--password-command", "true", *words])
        return status, err.getvalue()

    def test_without_a_terminal_it_is_refused_and_the_options_are_named(self) -> None:
        status, said = self.add(terminal=False)
        self.assertNotEqual(status, 0)
        self.assertEqual(self.tried, [])
        self.assertIn(f"--pop3 {THEIRS}:995 --smtp {THEIRS}:995", said)
        self.assertIn("The password was not sent", said)

    def test_the_user_is_asked_once_before_anything_is_sent(self) -> None:
        status, said = self.add(terminal=True)
        self.assertEqual((status, self.tried), (0, [THEIRS]), said)
        self.assertEqual(len(self.asked), 1)
        self.assertIn(THEIRS, self.asked[0])

    def test_a_host_that_the_user_refuses_is_left_out(self) -> None:
        self.agrees = False
        status, said = self.add(terminal=True)
        self.assertEqual((status, self.tried), (0, [OURS]), said)

    def test_hosts_that_are_authenticated_or_named_need_no_consent(self) -> None:
        for discovered, words in (
            ([found(OURS)], ()),
            ([found(THEIRS)], ()),
            ([found(THEIRS), found(THEIRS, THEIRS)], ()),
            ([found(THEIRS, THEIRS)], ("--pop3", f"{THEIRS}:995", "--smtp", f"{THEIRS}:465")),
        ):
            self.discovered = discovered
            status, said = self.add("--name", f"account{len(self.tried)}", *words, terminal=False)
            self.assertEqual(status, 0, said)
        self.assertEqual((self.asked, len(self.tried)), ([], 4))
