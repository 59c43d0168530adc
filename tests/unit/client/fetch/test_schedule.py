"""When accounts are fetched automatically, and what is run for new mail."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.values import Account, Notification, SecretKind, SecretSource, Server
from emailsys.client.fetch.notification import notify
from emailsys.client.fetch.schedule import FetchSchedule
from emailsys.client.fetch.values import FetchResult
from emailsys.client.rules.filing import Arrivals
from emailsys.mail.address import parse

ALICE = Account("alice", parse("alice@example.org"), pop3=Server("localhost", 995), fetch_every=10)
FINE = FetchResult("alice")
FAILED = FetchResult("alice", problem="no connection")


class ScheduleTests(SynchronousTestCase):
    """A clock that the test sets, in minutes."""

    def setUp(self) -> None:
        self.minutes = 0.0
        self.schedule = FetchSchedule(lambda: self.minutes * 60)

    def is_due(self, account: Account = ALICE) -> bool:
        return self.schedule.due([account]) == [account]

    def test_an_account_is_fetched_at_the_start_and_every_few_minutes(self) -> None:
        self.assertTrue(self.is_due())
        self.schedule.fetched(ALICE, FINE)
        self.assertFalse(self.is_due())
        self.assertEqual(self.schedule.next_in([ALICE]), 600)
        self.minutes = 10
        self.assertTrue(self.is_due())

    def test_zero_minutes_and_no_server_are_never_due(self) -> None:
        """Networks that cost by the megabyte."""
        for never in (replace(ALICE, fetch_every=0), replace(ALICE, pop3=None)):
            self.assertFalse(self.is_due(never))
            self.assertIsNone(self.schedule.next_in([never]))

    def test_failures_are_told_once_and_tried_less_often(self) -> None:
        """Up to an hour; the first success ends that."""
        self.assertEqual(self.schedule.fetched(ALICE, FAILED), ["no connection"])
        waits = []
        for _ in range(5):
            waits.append((self.schedule.next_in([ALICE]) or 0) / 60)
            self.minutes += waits[-1]
            self.assertEqual(self.schedule.fetched(ALICE, FAILED), [])
        self.assertEqual(waits, [20, 40, 60, 60, 60])
        self.assertEqual(self.schedule.fetched(ALICE, replace(FAILED, problem="refused")), ["refused"])
        self.assertEqual(self.schedule.fetched(ALICE, FINE), [])
        self.assertEqual(self.schedule.next_in([ALICE]), 600)
        self.assertEqual(self.schedule.fetched(ALICE, FAILED), ["no connection"])

    def test_a_typed_password_is_never_asked_for_unasked(self) -> None:
        """Such an account is fetched automatically after the user has fetched once, until the password is refused."""
        prompt = SecretSource(SecretKind.PROMPT)
        account = replace(ALICE, pop3=Server("localhost", 995, secret=prompt))
        self.assertFalse(self.is_due(account))
        self.schedule.fetched(account, FINE)
        self.minutes = 11
        self.assertTrue(self.is_due(account))
        self.schedule.fetched(account, FAILED)
        self.minutes = 1000
        self.assertFalse(self.is_due(account))


class NotificationTests(SynchronousTestCase):
    """A command of the user's."""

    def run_it(self, *command: str, sender: str = "Bob", subject: str = "$(touch x); \x1b[2J -v") -> str | None:
        account = replace(ALICE, notify=Notification(command))
        return notify(account, Arrivals(3, sender, subject))

    def test_the_command_is_told_in_its_environment_without_a_shell(self) -> None:
        """What a stranger wrote is no code, no option, and no control character."""
        told = Path(self.mktemp()).absolute()
        program = "import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open(sys.argv[1], 'w'))"
        # A program that takes longer than a failure takes is not waited for; here it is done before.
        self.patch(sys.modules[notify.__module__], "_FAILS_WITHIN", 60.0)
        self.assertIsNone(self.run_it(sys.executable, "-c", program, str(told)))
        words, environment = json.loads(told.read_text())
        self.assertEqual(words, [str(told)])
        self.assertEqual(
            [environment[f"EMAILSYS_{name}"] for name in ("ACCOUNT", "COUNT", "FROM", "SUBJECT")],
            ["alice", "3", "Bob", "$(touch x); \u241b[2J -v"],
        )

    def test_a_command_that_fails_is_named(self) -> None:
        self.assertIn("/no/such/program", self.run_it("/no/such/program") or "")
        self.patch(sys.modules[notify.__module__], "_FAILS_WITHIN", 60.0)
        self.assertIn("exit status 3", self.run_it(sys.executable, "-c", "raise SystemExit(3)") or "")

    def test_nothing_is_run_without_news(self) -> None:
        account = replace(ALICE, notify=Notification(("/no/such/program",)))
        self.assertIsNone(notify(account, Arrivals()))
        self.assertIsNone(notify(replace(account, notify=None), Arrivals(1)))

    def test_the_desktop_gets_plain_text(self) -> None:
        """A notification's body may be markup."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        program = folder / "notify-send"
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$(dirname "$0")/told"\n')
        program.chmod(0o700)
        self.patch(sys.modules[notify.__module__], "_FAILS_WITHIN", 60.0)
        self.patch(sys.modules[notify.__module__].os, "environ", {"PATH": f"{folder}:/usr/bin:/bin"})
        self.assertIsNone(self.run_it(sender="--icon=x", subject="<img src=x>"))
        self.assertEqual(
            (folder / "told").read_text().splitlines(),
            ["--app-name=emailsys", "--", "alice: 3 new messages", "--icon=x: &lt;img src=x&gt;"],
        )
