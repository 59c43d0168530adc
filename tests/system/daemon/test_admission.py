"""Connection limits over real sockets and TLS: a refused client gets a reply, and others are not affected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from emailsys.net.serving.admission import Admission
from tests.fakes.net.attacker import Attacker
from tests.fakes.net.tls_house import TLSHouse

_WORDS = b"too many connections from your address"
_SMTP = b"421 4.7.0 " + _WORDS + b", try again later\r\n"
_POP3 = b"-ERR [SYS/TEMP] " + _WORDS + b"\r\n"


class TooManyConnectionsTests(TestCase):
    """The limit is one connection for each address, including the loopback address."""

    def setUp(self) -> None:
        self.house = house = TLSHouse(reactor)
        self.connected: list[Attacker] = []
        factories: tuple[Any, ...] = (house.receive, house.submission, house.pop3)
        for factory in factories:
            factory.service = replace(factory.service, admission=Admission(0, 1, lambda ip: False))

    async def connect(self, factory: Any, implicit_tls: bool = False) -> Attacker:
        """Connect a client, with a TLS handshake on ports of implicit TLS."""
        client = Attacker()
        port = await self.house.port(factory, implicit_tls)
        self.connected.append(client)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
        if implicit_tls:
            client.begin_tls()
        return client

    async def leave(self, client: Attacker) -> None:
        """Close the connection without QUIT, and wait until the server has noticed."""
        client.cut()
        await client.gone()
        while self.house.pop3.sessions:
            await deferLater(reactor, 0)

    async def over(self) -> None:
        await self.house.close(*self.connected)

    async def test_the_second_connection_of_an_address_hears_why(self) -> None:
        house = self.house
        for factory, words in ((house.receive, _SMTP), (house.pop3, _POP3)):
            await (await self.connect(factory)).hears(b"\r\n")
            self.assertEqual(await (await self.connect(factory)).gone(), words)
        self.assertEqual(house.telemetry.counters["smtp-connection-refused"], 1)
        self.assertEqual(house.telemetry.counters["pop3-connection-refused"], 1)
        await self.over()

    async def test_behind_implicit_tls_it_hears_it_within_tls(self) -> None:
        house = self.house
        for factory, words in ((house.submission, _SMTP), (house.pop3, _POP3)):
            await (await self.connect(factory, implicit_tls=True)).hears(b"\r\n")
            self.assertEqual(await (await self.connect(factory, implicit_tls=True)).hears(b"\r\n"), words)
        await self.over()

    async def test_a_connection_that_ends_lets_another_in(self) -> None:
        for implicit_tls in (False, True):
            first = await self.connect(self.house.pop3, implicit_tls)
            await first.hears(b"\r\n")
            await self.leave(first)
            second = await self.connect(self.house.pop3, implicit_tls)
            self.assertIn(b"+OK", await second.hears(b"\r\n"))
            await self.leave(second)
        await self.over()

    async def test_a_connection_that_ends_within_the_handshake_lets_another_in(self) -> None:
        first = await self.connect(self.house.pop3, implicit_tls=True)
        await self.leave(first)
        second = await self.connect(self.house.pop3, implicit_tls=True)
        self.assertIn(b"+OK", await second.hears(b"\r\n"))
        await self.over()
