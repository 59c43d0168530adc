"""Files of a SQLite store that are removed, replaced or covered under a running daemon: 451, an alarm, nothing lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from emailsys.interfaces import Account, StoreError
from emailsys.store.engine.base import StoreUntrusted
from tests.contract.mail import envelope, local
from tests.system.store.store_faults import FaultyCase


class LostFilesTests(FaultyCase):
    """Each test sends one message, spoils the files, and sends another one."""

    async def begin(self) -> Account:
        alice, _bob = await self.users()
        await self.send(b"first\r\n", envelope(local(alice)))
        return alice

    def file(self, suffix: str = "") -> Path:
        return self.state / f"mail.sqlite{suffix}"

    def counted(self, event: str) -> int:
        return int(self.store.intake.telemetry.counters[event])

    async def refused_all(self, account: Account) -> str:
        """Neither mail nor questions get an answer; why."""
        error = await self.refused(StoreUntrusted, self.send(b"second\r\n", envelope(local(account))))
        self.clock.advance(1)
        for asked in (
            self.store.directory.find_address("alice", "example.test"),
            self.store.directory.find_address("nobody", "example.test"),
            self.store.directory.is_local_domain("example.test"),
            self.store.maildrops.open(account.account_id),
            self.store.accounts.set_credentials(account.address, [("argon2id", "new")]),
            self.store.database.upkeep("upkeep", lambda connection: None),
        ):
            await self.refused(StoreError, asked)
        self.assertEqual((self.counted("store-untrusted"), self.counted("store-trusted")), (1, 0))
        return str(error)

    async def accepted_again(self, account: Account) -> None:
        await self.send(b"third\r\n", envelope(local(account)))
        self.assertEqual((self.counted("store-untrusted"), self.counted("store-trusted")), (1, 1))

    async def test_a_database_that_was_removed_takes_no_mail(self) -> None:
        alice = await self.begin()
        self.file().unlink()
        self.assertIn("cannot be found by its name", await self.refused_all(alice))

    async def test_a_database_that_was_moved_takes_mail_again_when_it_is_back(self) -> None:
        alice = await self.begin()
        self.file().rename(self.file(".away"))
        await self.refused_all(alice)
        self.file(".away").rename(self.file())
        await self.accepted_again(alice)
        self.assertEqual(await self.listed(alice), 2)

    async def test_a_database_that_was_removed_in_mid_commit_is_not_acknowledged(self) -> None:
        alice = await self.begin()
        self.disk.after = self.file().unlink
        await self.refused(StoreUntrusted, self.send(b"second\r\n", envelope(local(alice))))

    async def test_a_database_that_was_replaced_answers_no_question(self) -> None:
        """A new, empty store would say that nobody is known."""
        alice = await self.begin()
        self.file().rename(self.file(".away"))
        shutil.copyfile(self.file(".away"), self.file())
        self.assertIn("is another file", await self.refused_all(alice))

    async def test_a_state_folder_that_was_renamed_takes_mail_again_when_it_is_back(self) -> None:
        alice = await self.begin()
        away = self.state.with_name(self.state.name + "-away")
        self.state.rename(away)
        self.addCleanup(shutil.rmtree, away, True)
        # A folder that was mounted over it looks the same as an empty one in its place.
        self.state.mkdir()
        await self.refused_all(alice)
        self.assertEqual(os.listdir(self.state), [])
        self.state.rmdir()
        away.rename(self.state)
        await self.accepted_again(alice)

    async def test_a_log_that_was_removed_has_lost_no_message_that_was_acknowledged(self) -> None:
        alice = await self.begin()
        self.file("-wal").unlink()
        await self.refused_all(alice)
        copy = Path(self.mktemp())
        shutil.copyfile(self.file(), copy)
        self.assertIn(b"first\r\n", _bodies(copy))

    async def test_a_log_that_was_replaced_is_not_written_on(self) -> None:
        alice = await self.begin()
        self.file("-wal").rename(self.file("-wal.away"))
        self.file("-wal").write_bytes(b"")
        await self.refused_all(alice)
        self.assertEqual(self.file("-wal").read_bytes(), b"")

    async def test_the_index_of_the_log_is_watched_too(self) -> None:
        """Another process would make a new one, and not see what this one writes."""
        alice = await self.begin()
        self.file("-shm").unlink()
        await self.refused_all(alice)

    async def test_the_files_of_locks_are_watched_too(self) -> None:
        """Another process would lock new ones, and take this one for dead."""
        alice = await self.begin()
        for suffix in (".locks", ".commit-lock"):
            self.file(suffix).rename(self.file(".away"))
            await self.refused(StoreUntrusted, self.send(b"second\r\n", envelope(local(alice))))
            self.file(".away").rename(self.file(suffix))
        await self.send(b"third\r\n", envelope(local(alice)))

    async def test_a_second_name_of_the_database_stops_mail_until_it_is_gone(self) -> None:
        """Whoever opened the other name would write another log to the same file."""
        alice = await self.begin()
        os.link(self.file(), self.file(".link"))
        await self.refused_all(alice)
        self.file(".link").unlink()
        await self.accepted_again(alice)

    async def test_an_error_while_files_are_lost_opens_no_other_files(self) -> None:
        alice = await self.begin()
        self.file().rename(self.file(".away"))
        self.disk.revoke_proof()
        await self.refused_all(alice)
        self.assertFalse(self.file().exists())

    async def test_other_processes_that_come_and_go_are_no_alarm(self) -> None:
        alice = await self.begin()
        for _ in range(3):
            other: Any = sqlite3.connect(self.file())
            other.execute("SELECT count(*) FROM maildrop").fetchone()
            other.close()
            await self.send(b"more\r\n", envelope(local(alice)))
        self.assertEqual(self.counted("store-untrusted"), 0)


def _bodies(path: Path) -> list[bytes]:
    connection = sqlite3.connect(path)
    try:
        return [bytes(content) for (content,) in connection.execute("SELECT content FROM bodies")]
    finally:
        connection.close()
