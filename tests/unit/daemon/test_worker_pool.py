"""Workers that cannot serve, and those that end: what is told, and when others are started."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import CertificateFiles, POP3Settings, Settings
from emailsys.daemon import worker_pool
from emailsys.daemon.worker_channel import Channel, Handler
from emailsys.daemon.worker_pool import Workers
from emailsys.daemon.worker_requests import SharedParts
from emailsys.daemon.worker_sharing import unpacked
from emailsys.interfaces import StoreError
from emailsys.policy.login_check import VerifiedLogins
from emailsys.store.commit.database import Activity
from tests.fakes.net.smtp_house import Events


class Process:
    """A worker without a process: it says what a test says."""

    clients: Counter[tuple[str, str]] = Counter()
    activity = Activity()
    connections = 0
    is_serving = False
    serves_since = 0.0
    unanswered = 0
    is_stuck = False

    def __init__(
        self,
        reactor: object,
        telemetry: Events,
        handlers: Callable[[Any], Mapping[str, Handler]],
        ended: Callable[[Any, str], None],
    ) -> None:
        self._ended = ended
        self.pid = 7
        self.killed: list[str] = []
        self.channel = Channel(handlers(self), lambda: None, telemetry)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    def ping(self) -> None:
        self.unanswered += self.is_stuck

    def kill(self, why: str) -> None:
        self.killed.append(why)

    def say(self, *message: object) -> None:
        self.channel.dataReceived(json.dumps(message).encode() + b"\n")

    def heard(self) -> list[tuple[str, Any]]:
        """What it was told, and the settings or the certificates."""
        lines = [json.loads(line) for line in self.transport.value().splitlines()]
        self.transport.clear()
        return [(name, unpacked(next(iter(fields.values())))) for name, number, fields in lines if number is None]

    def end(self, why: str) -> None:
        """End, as a real one does: the channel is lost first."""
        self.channel.connectionLost(Failure(ConnectionError()))
        self._ended(self, why)


class Database:
    """A store without a disk: its upkeep finds what a test says."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace()
        self.doubts: StoreError | None = None
        self.proofs = 0

    def upkeep(self, description: str, function: object) -> Deferred[None]:
        return succeed(None) if self.doubts is None else fail(self.doubts)

    def run(self, description: str, function: object) -> Deferred[None]:
        self.proofs += 1
        return fail(StoreError("the disk still fails"))


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.events = Clock(), Events()
        self.processes: list[Process] = []
        self.patch(worker_pool, "WorkerProcess", self.start)
        settings = Settings("mx.example.test", Path("state"), pop3=POP3Settings(workers=1))
        self.database = Database()
        store: Any = SimpleNamespace(**{name: SimpleNamespace() for name in ("maildrops", "directory", "quotas")})
        store.database = self.database
        outbound: Any = SimpleNamespace(unknown=SimpleNamespace(accepted=None), runner=SimpleNamespace(wake=None))
        failed_logins: Any = None
        tls: Any = SimpleNamespace(certificates=())
        self.tls, self.store = tls, store
        shared = SharedParts(self.events, store, failed_logins, VerifiedLogins(), outbound)
        self.pool = Workers(self.clock, settings, shared, tls, is_recording=lambda: False)
        self.pool.start()

    def start(self, *arguments: Any) -> Process:
        self.processes.append(Process(*arguments))
        return self.processes[-1]

    def test_a_worker_that_fails_to_begin_is_ended_at_once(self) -> None:
        """The status has the reason. One that has ended by itself is not killed: it has another one."""
        [first] = self.processes
        first.say("failed", 1, {"why": "no such file: locks"})
        self.assertEqual(first.killed, ["it cannot serve: no such file: locks"])
        first.end(first.killed[0])
        self.assertEqual(self.pool.status()["problem"], "it cannot serve: no such file: locks")
        self.clock.advance(1)
        second = self.processes[-1]
        second.end("signal 9 ended it")
        self.assertEqual((second.killed, self.pool.status()["problem"]), ([], "signal 9 ended it"))

    def test_a_reload_while_a_worker_starts_reaches_it(self) -> None:
        """It has read the settings and certificates of before."""
        [process] = self.processes
        settings = Settings("mx.example.test", Path("state"), pop3=POP3Settings(workers=1, max_connections=9))
        self.tls.certificates = (CertificateFiles(Path("new.pem"), Path("new.key")),)
        self.pool.configure(settings)
        self.pool.read_certificates()
        self.assertEqual(process.heard(), [], "it serves nobody yet")
        process.say("answer", 1, {"result": {}})
        self.assertEqual(process.heard(), [("configure", settings), ("certificates", self.tls.certificates)])

    def test_workers_end_when_the_store_must_be_proven_and_are_started_again(self) -> None:
        [first] = self.processes
        self.assertTrue(self.database.engine.end_other_processes())
        [why] = first.killed
        first.end(why)
        self.assertFalse(self.database.engine.end_other_processes(), "all have ended")
        self.clock.advance(1)
        self.assertEqual((len(self.processes), self.pool.status()["problem"]), (2, why))

    def test_a_checkpoint_of_a_worker_that_failed_lets_the_daemon_prove_the_log(self) -> None:
        """Unless it is proven already, because another job came first."""
        [first] = self.processes
        first.say("doubted", None, {})
        self.assertEqual(self.database.proofs, 0)
        self.database.doubts = StoreError("a checkpoint of another process failed")
        first.say("doubted", None, {})
        self.assertEqual(self.database.proofs, 1)
        self.assertEqual(self.events.exceptions, [])

    def test_workers_that_end_at_once_are_started_less_and_less_often(self) -> None:
        """At most once a minute. One that has served for a minute begins again with the first pause."""
        pauses = []
        for _ in range(10):
            count, before = len(self.processes), self.clock.seconds()
            self.processes[-1].end("it ended with status 1")
            while len(self.processes) == count:
                self.clock.advance(0.25)
            pauses.append(self.clock.seconds() - before)
        self.assertEqual(pauses, [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60])
        self.processes[-1].say("answer", 1, {"result": {}})
        self.assertIsNone(self.pool.status()["problem"])
        self.clock.advance(60)
        self.processes[-1].end("signal 9 ended it")
        self.clock.advance(0.5)
        self.assertEqual(len(self.processes), 12)
        self.assertEqual([line[0] for line in self.events.lines].count("worker-ended"), 11)

    def test_a_worker_without_a_sign_of_life_is_killed_after_half_a_minute(self) -> None:
        """It may hold the commit lock."""
        [process] = self.processes
        process.say("answer", 1, {"result": {}})
        self.clock.pump([5] * 12)
        process.is_stuck = True
        self.clock.pump([5] * 6)
        self.assertEqual(process.killed, [])
        self.clock.pump([5])
        self.assertEqual(process.killed, ["it gave no sign of life for 30 seconds"])
