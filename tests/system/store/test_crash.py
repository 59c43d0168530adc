"""kill -9 in the middle of everything: what was acknowledged is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

import tests
from tests.contract.engines import SQLiteCase
from tests.contract.mail import MailCase, envelope, local

KIB = 1024


class CrashTests(SQLiteCase, MailCase):
    """On SQLite, whose writer is another process."""

    async def test_each_acknowledged_message_survives_kill_9(self) -> None:
        alice, _bob = await self.users()
        await self.store.close()
        acknowledged: set[str] = set()
        for _round in range(3):
            acknowledged |= self.run_and_kill(alice.account_id, 150)
        self.store = self.open_again(None)
        maildrop = await self.open(alice)
        found = []
        for index in range(len(maildrop.listMessages())):
            text = await self.fetch(maildrop, index)
            head, _, body = text.partition(b"\r\n")[2].partition(b"\r\n")[2].partition(b"\r\n")
            self.assertIn(len(body), (2000, 900_000))
            self.assertEqual(body.strip(b"x"), b"")
            found.append(head.decode())
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual(acknowledged - set(found), set())
        self.assertEqual(await self.leftovers(), 0)

    def run_and_kill(self, account_id: int, count: int) -> set[str]:
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        root = Path(tests.__file__).parent.parent
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.system.store.store_victim", str(self.state), str(account_id)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert victim.stdout is not None
        with victim.stdout:
            told = [victim.stdout.readline() for _ in range(count)]
            victim.send_signal(signal.SIGKILL)
            told += victim.stdout.readlines()
        self.assertEqual(victim.wait(), -signal.SIGKILL)
        # The last line may have been cut off.
        return {line.rstrip("\n") for line in told if line.endswith("\n")}

    async def leftovers(self) -> int:
        """Sweep, then count the bodies that no message has."""
        while await self.store.sweeper.step():
            pass
        return await self.count("SELECT count(*) FROM bodies WHERE body_id NOT IN (SELECT message_id FROM messages)")

    async def count(self, query: str) -> int:
        def ask(connection: Any) -> int:
            return int(connection.exec_driver_sql(query).scalar())

        answer: int = await self.store.database.read("count", ask)
        return answer

    async def test_pieces_of_a_crashed_session_are_swept_at_the_next_start(self) -> None:
        alice, _bob = await self.users()
        incoming = self.store.intake.begin()
        pause = incoming.write(b"x" * (1500 * KIB))
        assert pause is not None
        await pause
        await self.send(b"after\r\n", envelope(local(alice)))
        while await self.count("SELECT count(*) FROM staged") == 0:
            await self.send(b"after\r\n", envelope(local(alice)))
        # The process ends without a word to its session; only what is on disk is left.
        await self.store.close()
        self.store = self.open_again(None)
        self.assertEqual(await self.count("SELECT count(*) FROM staged"), 0)
        self.assertEqual(await self.leftovers(), 0)
        self.assertEqual(await self.count("SELECT count(*) FROM body_pieces"), 0)

    async def test_pieces_of_a_living_process_are_left_alone(self) -> None:
        alice, _bob = await self.users()
        incoming = self.store.intake.begin()
        body = b"y" * (1500 * KIB)
        pause = incoming.write(body)
        assert pause is not None
        await pause
        other = self.open_again(None)
        while await other.sweeper.step():
            pass
        await incoming.commit(envelope(local(alice)))
        self.assertTrue((await self.fetch(await self.open(alice), 0)).endswith(body))

    async def test_pieces_of_an_abandoned_message_are_swept(self) -> None:
        await self.users()
        incoming = self.store.intake.begin()
        pause = incoming.write(b"x" * (1500 * KIB))
        assert pause is not None
        incoming.abandon()
        await pause
        # The sweep follows the last piece; an administrator's write comes after both.
        while await self.count("SELECT count(*) FROM reclaim") == 0:
            await self.store.database.run("wait", lambda connection: None)
        self.assertEqual(await self.leftovers(), 0)
        self.assertEqual(await self.count("SELECT count(*) FROM staged"), 0)
