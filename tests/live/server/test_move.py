"""A move of the store under load, to PostgreSQL and back, and one that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.contract.engines import PostgreSQLCase
from tests.live.programs import messages
from tests.live.programs.daemon import BIN, Daemon
from tests.live.programs.wire import smtp
from tests.live.server.test_python_clients import reader
from tests.live.server.test_restart import Load, digest_of
from tests.live.server.test_workers import serving


class MoveCase(SynchronousTestCase):
    """A daemon whose store is moved."""

    environment: ClassVar[Mapping[str, str] | None] = None

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="emailsys-live-")
        self.addCleanup(folder.cleanup)
        self.daemon = Daemon(folder=Path(folder.name), environment=self.environment)
        self.addCleanup(self.daemon.stop_successor)
        self.daemon.start()
        self.bob = self.daemon.user()

    def move(self, url: str) -> subprocess.Popen[str]:
        """Start the command."""
        places = ["--config", str(self.daemon.config_path), "--state", str(self.daemon.state)]
        return subprocess.Popen(
            [str(BIN / "emailsys"), "move", "--to", url, "--json", *places],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )

    def moved(self, url: str) -> Any:
        """Move the store, and return what the command has printed."""
        command = self.move(url)
        out, err = command.communicate()
        self.assertEqual(command.returncode, 0, f"{err}\n{self.daemon.log}")
        return json.loads(out)

    def maildrop(self) -> dict[str, bytes]:
        """Return the digest of each message by its unique-id."""
        session = reader(self.daemon, self.bob)
        uidls = [line.split()[1].decode() for line in session.uidl()[1]]
        found = {uidl: digest_of(b"\r\n".join(session.retr(n)[1])) for n, uidl in enumerate(uidls, 1)}
        session.quit()
        return found

    def move_under_load(self, url: str) -> None:
        """Move the store, and check that no message is lost or doubled, and no connection refused.

        Messages that wait for the switch get 451.
        """
        before = self.maildrop()
        load = Load(self.daemon, self.bob)
        try:
            while len(load.accepted) < 20 and load.threads[1].is_alive():
                load.threads[1].join(0.01)
            outcome = self.moved(url)
        finally:
            load.stop()
        self.assertIsNone(outcome["problem"])
        after = self.maildrop()
        self.assertEqual({uidl: after.get(uidl) for uidl in before}, before)
        self.assertEqual(Counter(after.values()), Counter(before.values()) + Counter(load.accepted))
        # A session that ends hears 421 or finds its connection closed; a new one is always accepted.
        self.assertEqual([heard for heard in load.heard if "refused" in heard], [], self.daemon.log)


class MoveTests(MoveCase):
    def test_to_postgresql_and_back_under_load(self) -> None:
        server = PostgreSQLCase.make_schema(PostgreSQLCase()).set(drivername="postgresql")
        for url in (server.render_as_string(hide_password=False), "sqlite:///back.sqlite"):
            self.move_under_load(url)

    def test_a_move_that_is_killed_leaves_the_store_in_use(self) -> None:
        """The next one goes on from there."""
        url = f"sqlite:///{self.daemon.state}/other.sqlite"
        for number in range(5):
            with smtp(self.daemon) as wire:
                wire.code(b"MAIL FROM:<a@example.org>")
                wire.code(f"RCPT TO:<{self.bob.address}>".encode())
                wire.code(b"DATA")
                wire.say(messages.plain("a@example.org", self.bob.address, f"kept-{number}") + b".\r\n")
                self.assertTrue(wire.reply().startswith(b"250"))
        before = self.maildrop()
        command = self.move(url)
        other = self.daemon.state / "other.sqlite-wal"
        while command.poll() is None and not other.exists():
            time.sleep(0.01)
        command.kill()
        command.communicate()
        self.assertEqual(self.maildrop(), before)
        self.assertIsNone(self.moved(url)["problem"])
        self.assertEqual(self.maildrop(), before)


class MoveWithWorkersTests(MoveCase):
    """Workers commit to the store by themselves."""

    skip = None if sys.platform == "linux" else "workers need Linux"
    environment: ClassVar[Mapping[str, str] | None] = {"EMAILSYS_WORKERS": "2"}

    def test_the_workers_of_the_successor_use_the_new_store(self) -> None:
        former = serving(self.daemon, 2)
        self.move_under_load("sqlite:///other.sqlite")
        serving(self.daemon, 2, frozenset(former))
