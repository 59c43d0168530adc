"""A fetch killed at every step loses and duplicates no message, and deletes none before it is stored."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.fakes.net.pop3_house import POP3House

_MESSAGES = [b"Subject: %s\r\n\r\ntext\r\n" % name for name in (b"one", b"two")]
_SUBJECTS = sorted(message.split(b"\r")[0].decode() for message in _MESSAGES)
_CHECKOUT = str(Path(__file__).resolve().parents[3])
# More steps than a fetch has. Each account serves one step.
_MOST_STEPS = 150


class CrashTests(TestCase):
    """Each step is a call to disk or network."""

    timeout = 300

    async def killed_at_every_step(self, rule: str, who: str = "alone") -> None:
        house = POP3House(clock=reactor)
        for step in range(1, _MOST_STEPS + 1):
            account = house.store.seed_account(f"user{step}@example.test")
            house.logins.passwords[f"user{step}@example.test".encode()] = (b"secret", account.account_id)
            for message in _MESSAGES:
                house.store.put(account, message)
        port: Any = reactor.listenTCP(0, house.factory, interface="127.0.0.1")
        arguments = ["-m", "tests.system.client.fetch_victim", str(port.getHost().port), rule, who, str(_MOST_STEPS)]
        environment = {**os.environ, "PYTHONPATH": _CHECKOUT}
        out, err, status = await getProcessOutputAndValue(sys.executable, arguments, environment)
        await port.stopListening()
        reports = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(status, 0, err.decode())
        self.assertGreater(len(reports), 10)
        self.assertFalse(reports[-1]["died"], "no step was left out at the end")
        for report in reports:
            here, there = report["after_death"]
            self.assertEqual(len(here), len(set(here)), report)
            self.assertLessEqual(set(_SUBJECTS), {*here, *there}, report)
            self.assertEqual(report["then"], 0, err.decode())
            if who.startswith("second"):
                self.assertEqual(report["status"], 0, "the first process does what the second cannot")
            here, there = report["at_the_end"]
            self.assertEqual(here, _SUBJECTS, report)
            self.assertEqual(report["indexed"], len(_SUBJECTS), report)
            self.assertEqual(there, [] if rule == "delete" else list(_SUBJECTS), report)

    async def test_a_fetch_that_deletes_loses_nothing_wherever_it_is_killed(self) -> None:
        await self.killed_at_every_step("delete")

    async def test_a_fetch_that_leaves_mail_there_gets_nothing_twice_wherever_it_is_killed(self) -> None:
        await self.killed_at_every_step("leave")

    async def test_a_first_process_that_is_killed_beside_its_worker_loses_nothing(self) -> None:
        await self.killed_at_every_step("delete", "beside")

    async def test_a_worker_that_is_killed_at_any_step_loses_and_duplicates_no_message(self) -> None:
        await self.killed_at_every_step("delete", "second")

    async def test_a_first_process_that_is_killed_after_staging_files_loses_nothing(self) -> None:
        await self.killed_at_every_step("delete", "beside-handing")

    async def test_a_worker_that_is_killed_while_it_names_files_loses_and_duplicates_no_message(self) -> None:
        await self.killed_at_every_step("leave", "second-handing")
