"""Our client against Postfix's smtp-sink, which refuses, delays, drops and closes as it is told. Prints its banner."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import unittest
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from emailsys.config.settings import OutboundSettings, OutboundTimeouts
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.client import client_tls
from tests.fakes.net.memory_hosts import BODY, pieces_of, quiet, transmission
from tests.live.programs.postfix import Running, banner
from tests.ports import free_ports

reactor: Any = _reactor

SMTP_SINK: Final = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin")


@unittest.skipIf(SMTP_SINK is None, "needs smtp-sink of Postfix, which is not installed")
class SmtpSinkTests(TestCase):
    """One smtp-sink for each test."""

    timeout = 60

    def setUp(self) -> None:
        timeouts = OutboundTimeouts(greeting=20, command=20, data=20, final=20)
        self.pool = ConnectionPool(
            reactor,
            OutboundSettings(timeouts=timeouts, connections_per_host=4),
            "client.example",
            client_tls,
            quiet(),
        )
        self.addCleanup(self.pool.close, 1.0)

    async def sink(self, *options: str) -> NextHop:
        """Start it; where it listens."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        assert SMTP_SINK is not None
        [port] = free_ports(1)
        # It gives up root's rights, and is asked to.
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        process = Running()
        arguments = [SMTP_SINK, "-c", *user, *options, f"127.0.0.1:{port}", "100"]
        running = reactor.spawnProcess(process, SMTP_SINK, arguments, env={"PATH": os.environ.get("PATH", "")})

        def stop() -> Deferred[None]:
            if running.pid is not None:
                running.signalProcess("KILL")
            return process.ended

        self.addCleanup(stop)
        print(f"\n    peer: {await banner(reactor, port, process.alive)!r}", end=" ")
        return NextHop("[127.0.0.1]", port)

    def dumps(self) -> Path:
        """A folder that the sink may write to, whoever it is then."""
        folder = Path(tempfile.mkdtemp(prefix="emailsys-sink-"))
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o777)
        return folder

    def dumped(self, folder: Path) -> list[bytes]:
        """What it wrote, with LF."""
        return [path.read_bytes().replace(b"\r\n", b"\n") for path in folder.iterdir()]

    async def send(self, hop: NextHop, message: Transmission | None = None) -> Sequence[Outcome]:
        """The outcomes."""
        return await self.pool.send(hop, Host("", "127.0.0.1", hop.port), message or transmission())

    async def test_messages_arrive_octet_by_octet(self) -> None:
        """The sink's dump has them, dots and all, with the parameters of DSN, which it offers."""
        folder = self.dumps()
        hop = await self.sink("-d", f"{folder}/message.")
        message = transmission("bob@example.net", "carol@example.net", notify="FAILURE", ret="HDRS", envid="Q1")
        outcomes = await self.send(hop, message)
        self.assertEqual([outcome.kind for outcome in outcomes], [OutcomeKind.DELIVERED] * 2)
        self.assertTrue(outcomes[0].takes_dsn)
        [text] = self.dumped(folder)
        self.assertTrue(text.rstrip(b"\n").endswith(BODY.replace(b"\r\n", b"\n").rstrip(b"\n")), text)
        self.assertIn(b"<alice@example.test> RET=HDRS ENVID=Q1", text)
        self.assertIn(b"<carol@example.net> NOTIFY=FAILURE", text)

    async def test_thousands_of_messages_share_few_connections(self) -> None:
        """Each is delivered once."""
        hop = await self.sink()
        outcomes = await gatherResults([Deferred.fromCoroutine(self.send(hop)) for _ in range(2000)])
        self.assertEqual({outcome.kind for each in outcomes for outcome in each}, {OutcomeKind.DELIVERED})
        self.assertEqual(self.pool.telemetry.counters["outbound-connected"], 4)

    async def test_a_large_message_streams(self) -> None:
        """16 MiB."""
        hop = await self.sink()
        piece = b".2345678\r\n" * 26214
        [outcome] = await self.send(hop, transmission(pieces=pieces_of(*[piece] * 64)))
        self.assertEqual(outcome.kind, OutcomeKind.DELIVERED)

    async def test_an_old_host_without_esmtp_takes_mail(self) -> None:
        """HELO, one command after the other; and one with ESMTP that does not pipeline."""
        for option in ("-e", "-p", "-P"):
            [outcome] = await self.send(await self.sink(option))
            self.assertEqual(outcome.kind, OutcomeKind.DELIVERED)

    async def test_soft_refusals_delay_at_each_step(self) -> None:
        """Greylisting."""
        for verb in ("MAIL", "RCPT", "DATA", "."):
            [outcome] = await self.send(await self.sink("-r", verb))
            self.assertEqual((outcome.kind, outcome.from_remote), (OutcomeKind.DELAYED, True), verb)
            self.assertRegex(str(outcome.reply.code), "^4")
            self.assertFalse(outcome.in_doubt)

    async def test_hard_refusals_fail_at_each_step(self) -> None:
        """With the remote's words."""
        for verb in ("MAIL", "RCPT", "DATA", "."):
            [outcome] = await self.send(await self.sink("-f", verb, "-B", "550 5.7.1 not from you"))
            self.assertEqual((outcome.kind, outcome.reply.text), (OutcomeKind.FAILED, "not from you"), verb)

    async def test_dropped_connections_delay_and_leave_doubt_only_behind_the_dot(self) -> None:
        """RFC 1047."""
        for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."):
            [outcome] = await self.send(await self.sink("-q", verb))
            self.assertEqual((outcome.kind, outcome.in_doubt), (OutcomeKind.DELAYED, verb == "."), verb)

    async def test_a_421_at_each_step_delays(self) -> None:
        """A host that goes down."""
        for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."):
            [outcome] = await self.send(await self.sink("-Q", verb))
            self.assertEqual(
                (outcome.kind, outcome.reply.code, outcome.in_doubt), (OutcomeKind.DELAYED, 421, False), verb
            )
            self.assertTrue(re.match(r"4\.|$", outcome.reply.enhanced))
