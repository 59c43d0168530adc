"""The channel between the daemon and a worker, and what a worker shares over it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.daemon.worker_channel import Channel, ChannelLost
from emailsys.daemon.worker_sharing import (
    BUSY,
    PassedEvents,
    SharedAdmission,
    SharedFailedLogins,
    login_outcome,
    why_unverified,
)
from emailsys.interfaces import LoginBusy, LoginUnchecked, TooManyGuesses
from tests.fakes.net.smtp_house import Events


class ChannelCase(SynchronousTestCase):
    """Two channels that are connected by `pump`."""

    def setUp(self) -> None:
        self.events = Events()
        self.lost: list[str] = []
        self.told: list[object] = []
        self.slow: Deferred[int] = Deferred()
        handlers: dict[str, Any] = {
            "note": lambda **fields: self.told.append(fields),
            "double": lambda number: 2 * number,
            "slow": lambda: self.slow,
            "wait": self.wait,
            "break": lambda: 1 // 0,
        }
        self.near = Channel({}, lambda: self.lost.append("near"), self.events)
        self.far = Channel(handlers, lambda: self.lost.append("far"), self.events)
        self.ends = {self.near: StringTransport(), self.far: StringTransport()}
        for channel, transport in self.ends.items():
            channel.makeConnection(transport)

    async def wait(self) -> int:
        return 8

    def pump(self) -> None:
        """Carry what was written to the other end, in pieces of three octets."""
        for here, there in ((self.near, self.far), (self.far, self.near)):
            octets = self.ends[here].value()
            self.ends[here].clear()
            for start in range(0, len(octets), 3):
                there.dataReceived(octets[start : start + 3])


class ChannelTests(ChannelCase):
    def test_messages_and_answers_arrive_in_any_order(self) -> None:
        self.near.tell("note", name="x", text="line\nbreak \u2028 ü", path=self)
        slow, waiting, double = self.near.ask("slow"), self.near.ask("wait"), self.near.ask("double", number=21)
        self.pump()
        self.assertEqual(self.told, [{"name": "x", "text": "line\nbreak \u2028 ü", "path": str(self)}])
        self.assertEqual(self.successResultOf(double), 42)
        self.assertNoResult(slow)
        self.slow.callback(7)
        self.pump()
        self.assertEqual((self.successResultOf(slow), self.successResultOf(waiting)), (7, 8))

    def test_a_question_that_cannot_be_answered_fails_and_is_logged(self) -> None:
        asked = self.near.ask("break")
        self.pump()
        self.failureResultOf(asked, ChannelLost)
        self.assertEqual(self.events.counters["exception"], 1)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_all_questions_fail_when_the_other_process_ends(self) -> None:
        """Those that come later, too. A question that was given up is no trouble."""
        open_one, given_up = self.near.ask("slow"), self.near.ask("slow")
        given_up.cancel()
        _ = given_up.addErrback(lambda failure: None)
        self.near.connectionLost(Failure(ConnectionError()))
        self.failureResultOf(open_one, ChannelLost)
        self.failureResultOf(self.near.ask("double", number=1), ChannelLost)
        self.near.tell("note")
        self.assertEqual(self.lost, ["near"])


class Written:
    """A channel that keeps what is told, and answers with what a test says."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.answer: Deferred[Any] = Deferred()

    def tell(self, name: str, /, **fields: object) -> None:
        self.told.append((name, json.loads(json.dumps(fields))))

    def ask(self, name: str, /, **fields: object) -> Deferred[Any]:
        self.tell(name, **fields)
        self.answer = Deferred()
        return self.answer


class SharingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.channel: Any = Written()

    def test_events_go_to_the_daemon(self) -> None:
        """With numbers as numbers. Of what Twisted logs, warnings and errors."""
        events = PassedEvents()
        events.event("before there is a channel")
        events.channel = self.channel
        events.event("pop3-end", retrieved=3, session="a-1", why=None, ip=object)
        events.alarm("certificate-invalid", why="it expired")
        events({"log_level": LogLevel.info, "log_format": "starting"})
        events({"log_level": LogLevel.warn, "log_format": "odd"})
        events({"log_level": LogLevel.critical, "log_failure": Failure(ValueError("seven"))})
        fields = {"retrieved": 3, "session": "a-1", "why": None, "ip": str(object)}
        *passed, (name, last) = self.channel.told
        self.assertEqual(
            passed,
            [
                ("event", {"level": "info", "name": "pop3-end", "fields": fields}),
                ("event", {"level": "critical", "name": "certificate-invalid", "fields": {"why": "it expired"}}),
                ("event", {"level": "info", "name": "worker-warning", "fields": {"text": "odd"}}),
            ],
        )
        self.assertEqual((name, last["name"]), ("exception", "worker-exception"))
        self.assertIn("seven", last["traceback"])

    def test_the_end_of_a_connection_is_told(self) -> None:
        admission = SharedAdmission(self.channel, "smtp")
        self.assertIsNone(admission.refusal("192.0.2.1"))
        admission.enter("192.0.2.1")
        admission.leave("192.0.2.1")
        self.assertEqual(self.channel.told, [("left", {"pool": "smtp", "ip": "192.0.2.1"})])

    def test_the_daemon_decides_about_logins_and_the_worker_verifies(self) -> None:
        """An exempt address asks nobody. A login whose client has gone is verified by nobody."""
        logins = SharedFailedLogins(self.channel, lambda ip: ip == "127.0.0.1")
        verified: list[bool] = []

        async def verify() -> bool:
            verified.append(True)
            return True

        def begin(ip: str) -> Deferred[bool]:
            return Deferred.fromCoroutine(logins.verify((7, 1), ip, b"\x01\xff", verify))

        self.assertTrue(self.successResultOf(begin("127.0.0.1")))
        self.assertEqual((self.channel.told, verified), ([], [True]))
        done = begin("192.0.2.1")
        asked = {"number": 1, "password": [7, 1], "ip": "192.0.2.1", "digest": "01ff"}
        self.assertEqual(self.channel.told, [("login", asked)])
        self.assertIs(self.successResultOf(Deferred.fromCoroutine(logins.verify_now(1))), True)
        self.channel.answer.callback(True)
        self.assertTrue(self.successResultOf(done))
        for error in (TooManyGuesses(), LoginBusy(), LoginUnchecked()):
            done = begin("192.0.2.1")
            self.channel.answer.callback(why_unverified(error))
            self.assertIs(self.failureResultOf(done, LoginBusy).type, type(error))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(logins.verify_now(1))), BUSY)

    def test_why_a_login_was_not_verified_passes_the_channel_in_both_directions(self) -> None:
        for error in (TooManyGuesses(), LoginBusy(), LoginUnchecked(), LoginUnchecked(is_guess=True)):
            with self.assertRaises(LoginBusy) as caught:
                login_outcome(why_unverified(error))
            self.assertEqual((type(caught.exception), vars(caught.exception)), (type(error), vars(error)))
