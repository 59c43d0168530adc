"""Other programs at their worst, all at the same time: no turn of the reactor is long, so no mail waits for them."""

from __future__ import annotations

import os
import tempfile
import unittest
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from emailsys.daemon.outbound import in_own_thread
from emailsys.delivery.pipes import PipeRelay
from emailsys.extension import CheckContext, CheckFailed, Client, Transaction
from emailsys.interfaces import ClientPassword
from emailsys.mail.next_hop import NextHop
from emailsys.mail.pipe import Pipe
from emailsys.net.outbound.dovecot_login import DovecotLogin
from emailsys.net.outbound.ldap_login import LDAPLogin
from emailsys.net.outbound.policy_server import PolicyServer, PolicyServerError
from emailsys.platforms.commands import Command
from emailsys.platforms.users import is_root
from tests.fakes.net.endless_peer import EndlessPeer
from tests.fakes.net.memory_hosts import quiet, transmission
from tests.fakes.reactor_turns import LONGEST, Turns

reactor: Any = _reactor

ALICE = ClientPassword(b"alice@x.test", b"secret", "192.0.2.7")


class BadNeighbours(TestCase):
    def setUp(self) -> None:
        self.turns = Turns(reactor)
        self.turns.begin()
        self.addCleanup(self.turns.end)

    def peer(self, beginning: bytes, piece: bytes) -> EndlessPeer:
        return EndlessPeer(self, reactor, beginning, piece)

    async def ends(self, asked: Any, kind: type[Exception], peer: EndlessPeer) -> None:
        """Wait for the failure, and for the end of the connection: no clock ends them."""
        await self.assertFailure(Deferred.fromCoroutine(asked) if hasattr(asked, "send") else asked, kind)
        await peer.lost
        self.assertLess(self.turns.longest, LONGEST)

    async def test_a_policy_server_that_answers_for_ever(self) -> None:
        client = Client("s1", "smtp", "192.0.2.7")
        for piece in (b"x" * 65_536, b"action=OK\n" * 6_000, b"\n" * 65_536):
            peer = self.peer(b"action=DUNNO", piece)
            check = PolicyServer(CheckContext("postfix", f"inet:127.0.0.1:{peer.port}", "mx.test", reactor))
            asked = check.recipient(Transaction(client, "carol@elsewhere.test"), "alice@example.test")
            await self.ends(asked, PolicyServerError, peer)
            await check.stop()

    async def test_a_directory_that_answers_for_ever(self) -> None:
        for beginning, piece in (
            (b"", b"\x30\x84\x7f\xff\xff\xff"),
            (b"\x30\x83\x01\x00\x00", b"x" * 65_536),
            # References to other directories, and no end of the search (RFC 4511 §4.5.3).
            (b"", (b"\x30\x0c\x02\x01\x04\x73\x07\x04\x05ldap:") * 4_000),
        ):
            peer = self.peer(beginning, piece)
            url = f"//127.0.0.1:{peer.port}/dc=x?uid"
            checker = LDAPLogin(CheckContext("ldap", url, "mx.test", reactor))
            await self.ends(checker.requestAvatarId(ALICE), CheckFailed, peer)

    async def test_a_dovecot_that_greets_for_ever(self) -> None:
        for piece in (b"x" * 65_536, b"\n" * 65_536, b"MECH\tPLAIN\n" * 6_000):
            peer = self.peer(b"VERSION\t1\t2\n", piece)
            checker = DovecotLogin(CheckContext("dovecot", f"inet:127.0.0.1:{peer.port}", "mx.test", reactor))
            await self.ends(checker.requestAvatarId(ALICE), CheckFailed, peer)

    @unittest.skipIf(os.name == "nt", "Windows has no process groups")
    async def test_a_command_that_writes_for_ever(self) -> None:
        """A thread of its own reads it; the reactor only learns how it ended."""
        relay = PipeRelay(reactor, Command, lambda run: in_own_thread(reactor, run), tempfile.TemporaryFile, 2, quiet())
        pipe = Pipe("/bin/sh -c 'yes & yes'", "nobody" if is_root() else "", 60.0)
        [outcome] = await relay.relay(NextHop(str(pipe), pipe=pipe), transmission())
        self.assertIn("it wrote more than 1 MiB", outcome.reply.text)
        self.assertLess(self.turns.longest, LONGEST)
