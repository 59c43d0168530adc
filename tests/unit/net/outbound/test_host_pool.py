"""Which connection a message joins."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import Host, TLSPolicy
from emailsys.mail.transmission import OutcomeKind
from tests.fakes.net.memory_hosts import HOP, HOST, MemoryHosts, greet, take, transmission


class JoiningTests(SynchronousTestCase):
    """Connections of hosts in memory."""

    def setUp(self) -> None:
        self.hosts = MemoryHosts()

    def test_a_message_that_comes_late_joins_a_busy_connection(self) -> None:
        """The connection asked for one when none waited. Its body is read before the first message is answered."""
        self.hosts = MemoryHosts(OutboundSettings(connections_per_host=1))
        first = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        read: list[str] = []

        async def pieces() -> AsyncIterator[bytes]:
            read.append("begun")
            yield b"late\r\n"

        second = self.hosts.send(transmission(pieces=pieces))
        self.assertEqual(read, ["begun"])
        self.assertNoResult(first)
        server._unread = take(server) + server._unread
        take(server)
        for sent in (first, second):
            [outcome] = self.successResultOf(sent)
            self.assertIs(outcome.kind, OutcomeKind.DELIVERED)

    def test_next_hops_of_one_name_share_no_connection(self) -> None:
        """One is verified, the other is not; likewise the hosts of one next hop."""
        verified = dataclasses.replace(HOP, tls=TLSPolicy.VERIFIED)
        for hop, host in ((HOP, HOST), (verified, HOST), (HOP, Host("", "192.0.2.3"))):
            _ = self.hosts.send(transmission(), hop, host)
        self.assertEqual(self.hosts.attempts, 3)
