"""Operation of a running daemon: control socket, metrics and mail log."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys import __version__
from emailsys.cli.tryout.command import free_ports
from emailsys.control.control_socket import ask
from emailsys.control.requests import (
    DomainAdd,
    QueueChangeRows,
    QueueList,
    Request,
    RouteExplain,
    Status,
    Trace,
    UserAdd,
    UserList,
    Verify,
)
from emailsys.daemon.service import Daemon
from emailsys.interfaces.operators import QueueChange, RowState
from emailsys.mail.address import Address
from emailsys.web.api.observation_operations import STATUS
from emailsys.web.api.schema import problems
from tests.system.daemon.preparing import prepared

T = TypeVar("T")
ANN = Address("ann", "example.test")


class OperationsTests(TestCase):
    """A daemon with metrics and a mail log, and without outbound delivery."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        config = Path(self.mktemp()).absolute()
        self.mail_log = config.with_name("mail.log")
        ports = list(free_ports(41_000 + os.getpid() % 400 * 40).values())
        self.smtp, self.metrics = ports[:2]
        config.write_text(
            'hostname = "localhost"\n[listen]\n'
            f'smtp = "127.0.0.1:{self.smtp}"\nsubmission = []\nsubmissions = []\npop3 = []\npop3s = []\n'
            "[outbound]\nenabled = false\n"
            f'[monitoring]\nmetrics_listen = "127.0.0.1:{self.metrics}"\nlog_format = "json"\nmail_log = "mail.log"\n'
            "[smtp]\nmax_connections = 10\nmax_connections_per_ip = 2\n"
            '[routing]\ntrusted_networks = ["127.0.0.1/32"]\n'
        )
        umask = os.umask(0o022)
        os.umask(umask)
        self.addCleanup(os.umask, umask)
        if sys.platform != "win32":
            self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        with contextlib.redirect_stderr(io.StringIO()):
            self.daemon: Daemon = prepared(str(self.state), str(config))
        self.daemon.privilegedStartService()
        self.daemon.startService()
        self.addCleanup(self.daemon.stopService)

    async def away(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking function in another thread, while the daemon runs in this one."""
        result: Deferred[T] = deferToThread(call, *arguments)
        return await result

    async def ask(self, request: Request) -> Any:
        answer = await self.away(ask, self.state, request)
        self.assertIn("result", answer, answer)
        return answer["result"]

    async def send(self) -> None:
        """Send a message from a trusted host to ann, who is local, and dave, who is remote."""
        await self.ask(DomainAdd("example.test", ANN))
        await self.ask(UserAdd(ANN, [("argon2id", "x")]))

        def go() -> None:
            with smtplib.SMTP("127.0.0.1", self.smtp) as client:
                text = "Message-ID: <one@client.example>\r\nSubject: x\r\n\r\nhello\r\n"
                client.sendmail("carol@example.org", ["ann@example.test", "dave@example.net"], text)

        await self.away(go)

    async def test_one_id_follows_a_message_through_log_trace_and_queue(self) -> None:
        await self.send()
        (row,) = await self.ask(QueueList(limit=10))
        (life,) = (await self.ask(Trace("<one@client.example>", 10, 3600)))["lives"]
        self.assertEqual(life["queue_id"], row["queue_id"])
        self.assertEqual((life["stored"], life["queued"], life["client"]["ip"]), (1, 1, "127.0.0.1"))
        events = [json.loads(line) for line in self.mail_log.read_text().splitlines()]
        (accepted,) = [event for event in events if event["event"] == "accepted"]
        self.assertEqual(accepted["queue_id"], row["queue_id"])
        self.assertEqual(accepted["session"], life["client"]["session"])
        changed = await self.ask(QueueChangeRows(change=QueueChange.RETRY, domain="example.net"))
        self.assertIn(changed["changed"], (0, 1))
        changed = await self.ask(QueueChangeRows(change=QueueChange.DROP))
        self.assertEqual(changed, {"changed": 1})
        checked = await self.ask(Verify(seconds=5))
        self.assertEqual(checked["recipients"], {"maildrop": 1, "dropped by an operator": 1})
        self.assertEqual((checked["cursor"], checked["flaws"]), (None, []))

    async def test_mail_beyond_a_sending_limit_is_held_with_its_cause_until_it_is_released(self) -> None:
        """The sender is a trusted network. Its postmaster gets a message about it."""
        await self.ask(DomainAdd("example.test", ANN))
        await self.ask(UserAdd(ANN, [("argon2id", "x")]))
        recipients = [f"user{n}@example.net" for n in range(501)]

        def go() -> None:
            with smtplib.SMTP("127.0.0.1", self.smtp) as client:
                client.sendmail("carol@example.org", recipients, "Subject: x\r\n\r\nhello\r\n")
                client.sendmail("carol@example.org", recipients[:1], "Subject: y\r\n\r\nhello\r\n")

        await self.away(go)
        held = await self.ask(QueueList(state=RowState.HELD, limit=1000))
        self.assertEqual(len(held), 501)
        self.assertEqual(
            {row["reply"] for row in held}, {"held here: 127.0.0.1/32 has reached its limit of 500 recipients an hour"}
        )
        [ann] = await self.ask(UserList())
        self.assertEqual(ann["messages"], 1)
        self.assertEqual(
            await self.ask(QueueChangeRows(change=QueueChange.RELEASE, sender="carol@example.org")), {"changed": 501}
        )
        events = [json.loads(line)["event"] for line in self.mail_log.read_text().splitlines()]
        self.assertEqual(events.count("sending-held"), 1)

    async def test_the_eleventh_connection_of_ten_is_told_so_and_the_first_goes_on(self) -> None:
        """Loopback addresses and trusted networks have no limit per address, but all connections together do."""

        def go() -> list[bytes]:
            with contextlib.ExitStack() as clients:
                peers = [
                    clients.enter_context(socket.create_connection(("127.0.0.1", self.smtp), 10.0)) for _ in range(11)
                ]
                greetings = [peer.recv(1000) for peer in peers]
                peers[0].sendall(b"NOOP\r\n")
                return [*greetings, peers[0].recv(1000)]

        *greetings, eleventh, noop = await self.away(go)
        self.assertEqual([greeting[:4] for greeting in greetings], [b"220 "] * 10)
        self.assertEqual(eleventh, b"421 4.7.0 too many connections, try again later\r\n")
        self.assertEqual(noop, b"250 2.0.0 OK\r\n")

    async def test_the_status_has_the_queue_runners_view(self) -> None:
        status = await self.ask(Status())
        self.assertEqual((status["next_hops"], status["outbound"]), ([], False))
        self.assertEqual(problems(status, STATUS), [], "as the API describes it")
        self.assertEqual(status["listening"]["metrics"], [f"127.0.0.1:{self.metrics}"])

    async def test_one_screen_tells_how_the_daemon_stands(self) -> None:
        await self.send()

        def show(*arguments: str) -> str:
            command = [sys.executable, "-m", "emailsys", *arguments, "--state", str(self.state)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        text = await self.away(show, "status")
        for words in (
            f"emailsys {__version__} on localhost, process {os.getpid()}, up ",
            f"smtp        127.0.0.1:{self.smtp}  0 sessions",
            "messages accepted 1",
            "\ndisk: ",
            " left for mail",
            "queue: ",
            "example.net ",
        ):
            self.assertIn(words, text)
        self.assertEqual(json.loads(await self.away(show, "status", "--json"))["daemon"]["pid"], os.getpid())
        self.assertIn("no flaws found", await self.away(show, "verify"))
        self.assertIn("stored in the maildrop", await self.away(show, "trace", "ann@example.test"))

    async def test_routing_is_explained_as_the_daemon_does_it(self) -> None:
        await self.ask(DomainAdd("example.test", ANN))
        found = await self.ask(RouteExplain(Address("dave", "example.net")))
        self.assertEqual(found["next_hops"][0]["next_hop"], "example.net")
        found = await self.ask(RouteExplain(Address("nobody", "example.test")))
        self.assertEqual(found["routes"], 0)

    async def test_prometheus_is_answered(self) -> None:
        await self.send()

        def scrape() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as page:
                return str(page.read().decode())

        text = await self.away(scrape)
        self.assertIn('emailsys_events_total{event="accepted"} 1.0\n', text)
        self.assertIn('emailsys_sessions{service="smtp"}', text)
        self.assertIn("emailsys_queue_domains 1.0\n", text)

    async def test_a_rotated_mail_log_goes_on_in_a_new_file(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        moved = self.mail_log.rename(self.mail_log.with_name("mail.log.1"))
        os.kill(os.getpid(), signal.SIGHUP)
        await self.ask(Status())
        await self.ask(Status())
        await self.send()
        self.assertIn('"started"', moved.read_text())
        self.assertIn('"accepted"', self.mail_log.read_text())
