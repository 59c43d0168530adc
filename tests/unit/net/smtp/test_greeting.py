"""Clients that talk before the greeting of the receive port are told, and those that wait notice nothing."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from emailsys.config.settings import EarlyTalker, SMTPSettings
from emailsys.mail.envelope import Client
from emailsys.net.serving.admission import Admission
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import LOOPBACK
from tests.fakes.net.smtp_house import SMTPHouse

GREETING = b"220 mx.example.test"
REFUSAL = b"554 5.5.0 you talked before the greeting"


class Waiting(SynchronousTestCase):
    """With `greeting_wait`, on a test clock."""

    def house(self, kind: Kind = Kind.RECEIVE, action: EarlyTalker = EarlyTalker.REFUSE) -> SMTPHouse:
        return SMTPHouse(kind, SMTPSettings(greeting_wait=6.0, early_talker=action))

    def test_the_greeting_comes_after_the_wait(self) -> None:
        house = self.house()
        peer = house.connect()
        peer.clock.advance(5.9)
        self.assertEqual(peer.heard(), b"")
        peer.clock.advance(0.2)
        self.assertTrue(peer.heard().startswith(GREETING))
        peer.say(b"HELO client\r\n")
        self.assertTrue(peer.heard().startswith(b"250 "))
        self.assertEqual(house.telemetry.counters["smtp-early-talker"], 0)

    def test_a_client_that_talks_meanwhile_is_refused_and_nothing_of_it_is_acted_on(self) -> None:
        house = self.house()
        peer = house.connect()
        peer.say(b"EHLO client\r\nMAIL FROM:<carol@elsewhere.test>\r\n")
        self.assertEqual(peer.heard(), b"")
        peer.clock.advance(6.0)
        self.assertTrue((heard := peer.heard()).startswith(REFUSAL), heard)
        self.assertEqual(heard.count(b"\r\n"), 1)
        self.assertTrue(peer.lost)
        (event,) = house.telemetry.of("smtp-early-talker")
        self.assertEqual((event["ip"], event["action"]), ("192.0.2.7", "refuse"))

    def test_an_early_talker_may_go_on_if_the_setting_is_log(self) -> None:
        house = self.house(action=EarlyTalker.LOG)
        peer = house.connect()
        peer.say(b"HELO client\r\nQUIT\r\n")
        peer.clock.advance(6.0)
        lines = peer.heard().splitlines()
        self.assertEqual([line[:3] for line in lines], [b"220", b"250", b"221"])
        self.assertEqual(house.telemetry.counters["smtp-early-talker"], 1)

    def test_submission_and_exempt_clients_never_wait(self) -> None:
        for kind, peer in ((Kind.SUBMISSION, None), (Kind.RECEIVE, LOOPBACK)):
            named: dict[str, Any] = {} if peer is None else {"peer": peer}
            self.assertTrue(self.house(kind).connect(**named).heard().startswith(GREETING), kind)

    def test_a_client_that_leaves_meanwhile_leaves_nothing_behind(self) -> None:
        house = self.house()
        peer = house.connect()
        peer.lose()
        self.assertEqual(peer.clock.getDelayedCalls(), [])
        self.assertEqual(house.telemetry.exceptions, [])

    def test_a_client_that_talked_and_ended_its_side_is_refused_too(self) -> None:
        house = self.house()
        peer = house.connect()
        (server,) = house.factory.sessions
        peer.say(b"QUIT\r\n")
        server.readConnectionLost()
        peer.clock.advance(6.0)
        self.assertTrue(peer.heard().startswith(REFUSAL))

    def test_a_session_that_waits_is_not_ended_in_favour_of_others(self) -> None:
        """The server makes it wait, so its silence is not its own."""
        house = self.house()
        house.connect()
        (server,) = house.factory.sessions
        self.assertFalse(server.is_expendable)

    def test_a_stop_ends_the_wait_with_421(self) -> None:
        house = self.house()
        peer = house.connect()
        peer.say(b"HELO client\r\n")
        self.assertEqual(house.factory.drain(), 1)
        heard = peer.heard()
        self.assertEqual((heard[:4], heard.count(b"\r\n")), (b"421 ", 1))
        self.assertTrue(peer.lost)
        self.assertEqual((house.factory.drain(), peer.clock.getDelayedCalls()), (0, []))
        self.assertEqual(house.telemetry.exceptions, [])


class Asked(SynchronousTestCase):
    """While a check is asked about the connection."""

    def test_a_client_that_talks_meanwhile_is_refused(self) -> None:
        answer: Deferred[None] = Deferred()

        class Checks:
            async def connected(self, client: Client) -> None:
                await answer

            def begin(self, service: str, is_trusted: bool) -> Any:
                return self

        checks: Any = Checks()
        house = SMTPHouse(Kind.RECEIVE)
        house.factory.service = replace(house.service, checks=checks)
        peer = house.connect()
        peer.say(b"EHLO client\r\n")
        self.assertEqual(peer.heard(), b"")
        answer.callback(None)
        self.assertTrue((heard := peer.heard()).startswith(REFUSAL), heard)
        self.assertTrue(peer.lost)


class AtOnce(TestCase):
    """Without a wait: what the kernel has when the connection is accepted."""

    async def heard(self, says: bytes, action: EarlyTalker = EarlyTalker.REFUSE, *, exempt: bool = False) -> bytes:
        """Returns what a client hears that has sent these octets before the server accepts its connection."""
        house = SMTPHouse(settings=SMTPSettings(early_talker=action), clock=reactor)
        house.factory.service = replace(house.service, admission=Admission(is_exempt=lambda ip: exempt))
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(house.factory)
        client = socket.create_connection(("127.0.0.1", port.getHost().port), timeout=60)
        try:
            client.sendall(says)
            client.shutdown(socket.SHUT_WR)
            octets = await deferToThread(lambda: b"".join(iter(lambda: client.recv(65536), b"")))
        finally:
            client.close()
            await port.stopListening()
            while house.factory.sessions:
                await deferLater(reactor, 0)
        self.assertEqual(house.telemetry.exceptions, [])
        self.assertEqual(house.telemetry.counters["smtp-early-talker"], int(bool(says) and not exempt))
        return bytes(octets)

    async def test_a_client_that_has_talked_already_is_refused(self) -> None:
        heard = await self.heard(b"HELO client\r\nQUIT\r\n")
        self.assertTrue(heard.startswith(REFUSAL), heard)
        self.assertEqual(heard.count(b"\r\n"), 1)

    async def test_an_early_talker_may_go_on_if_the_setting_is_log(self) -> None:
        heard = await self.heard(b"HELO client\r\nQUIT\r\n", EarlyTalker.LOG)
        self.assertEqual([line[:3] for line in heard.splitlines()], [b"220", b"250", b"221"])

    async def test_an_exempt_client_may_go_on(self) -> None:
        heard = await self.heard(b"HELO client\r\nQUIT\r\n", exempt=True)
        self.assertEqual([line[:3] for line in heard.splitlines()], [b"220", b"250", b"221"])

    async def test_a_client_that_only_ended_its_side_has_not_talked(self) -> None:
        self.assertTrue((await self.heard(b"")).startswith(GREETING))
