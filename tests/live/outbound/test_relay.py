"""A real daemon sends to real hosts: smtp-sink by MX on port 25, and Postfix by a route. Prints the peers' banners."""

from __future__ import annotations

import email
import email.policy
import re
import smtplib
import unittest
from collections.abc import Callable
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from emailsys import pki
from emailsys.control.requests import QueueList, Verify
from tests.live.programs import messages, postfix
from tests.live.programs.daemon import Daemon, User
from tests.live.programs.lab import Addresses, NameServer, Sink, wait_for, why_not
from tests.live.server.test_python_clients import fetched, reader

T = TypeVar("T")
reactor: Any = _reactor

HASTE = "[queue]\nfirst_retry = 1\nretry_growth = 1\nmax_retry = 1\nfirst_pause = 1\nmax_pause = 1\npoll = 1\n"


def submit(daemon: Daemon, user: User, recipients: list[str], text: bytes, **options: list[str]) -> None:
    """Through the submission port, as a mail program does."""
    with smtplib.SMTP("127.0.0.1", daemon.ports["submission"], timeout=60) as client:
        client.login(user.address, user.password)
        client.sendmail(user.address, recipients, text, options.get("mail", []), options.get("rcpt", []))


def queue(daemon: Daemon) -> list[dict[str, Any]]:
    """What `emailsys queue list` shows."""
    return list(daemon.command(QueueList(limit=1000)))


def inbox(daemon: Daemon, user: User) -> list[EmailMessage]:
    """What the user's mail program fetches by POP3."""
    session = reader(daemon, user)
    try:
        count = session.stat()[0]
        texts = [fetched(session, number) for number in range(1, count + 1)]
    finally:
        session.quit()
    return [email.message_from_bytes(text, policy=email.policy.default) for text in texts]


@unittest.skipIf(bool(why_not()), why_not())
class SinkTests(SynchronousTestCase):
    """By MX, over a name server of the test's own."""

    def setUp(self) -> None:
        self.names = NameServer()
        self.addCleanup(self.names.close)
        self.addresses = Addresses()
        self.daemon = Daemon(f"{HASTE}[outbound]\n{self.names.config}")
        self.addCleanup(self.daemon.close)
        self.alice = self.daemon.user("alice")

    def sink(self, domain: str, *options: str) -> Sink:
        """A host for a domain."""
        address = self.addresses.next()
        self.names.host(domain, address)
        return self.open(address, *options)

    def open(self, address: str, *options: str) -> Sink:
        """A host at an address."""
        sink = Sink(address, *options, dumps=True)
        self.addCleanup(sink.close)
        print(f"\n    peer: {sink.banner!r}", end=" ")
        return sink

    def has_more(self, sink: Sink, than: int) -> bool:
        """Whether something has arrived, or nothing is left."""
        return len(sink.messages) > than or not queue(self.daemon)

    def test_a_submitted_message_arrives_at_the_host_that_dns_names(self) -> None:
        """With its dots, and the wishes for notices, which the sink takes."""
        sink = self.sink("example.net")
        text = messages.plain(self.alice.address, "bob@example.net", "hello")
        submit(self.daemon, self.alice, ["bob@example.net"], text, mail=["ENVID=Q7"], rcpt=["NOTIFY=FAILURE"])
        [taken] = wait_for(lambda: sink.messages if not queue(self.daemon) else None)
        self.assertTrue(taken.rstrip(b"\n").endswith(messages.unix(text).rstrip(b"\n")))
        self.assertIn(b"ENVID=Q7", taken)
        self.assertIn(b"NOTIFY=FAILURE ORCPT=rfc822;bob@example.net", taken)

    def test_greylisted_mail_waits_and_says_why(self) -> None:
        """The host refuses for now; another is at its address a little later."""
        address = self.addresses.next()
        self.names.host("example.net", address)
        grey = Sink(address, "-r", "RCPT")
        submit(self.daemon, self.alice, ["bob@example.net"], messages.plain(self.alice.address, "b", "grey"))
        row = wait_for(lambda: [row for row in queue(self.daemon) if row["attempts"]])[0]
        self.assertRegex(row["reply"], r"^4\d\d ")
        grey.close()
        sink = self.open(address)
        wait_for(lambda: sink.messages and not queue(self.daemon))

    def test_a_refusal_comes_back_as_a_dsn(self) -> None:
        """In the sender's maildrop, with the host's words."""
        self.sink("example.net", "-f", "RCPT", "-B", "550 5.1.1 nobody of that name")
        submit(self.daemon, self.alice, ["bob@example.net"], messages.plain(self.alice.address, "b", "refused"))
        wait_for(lambda: self.daemon.log.count("failed ") and not queue(self.daemon))
        [bounce] = inbox(self.daemon, self.alice)
        self.assertEqual(bounce.get_content_type(), "multipart/report")
        self.assertIn("550 5.1.1 nobody of that name", bounce.as_string())

    def test_kill_9_between_accept_and_relay_loses_nothing(self) -> None:
        """Two hundred messages: killed while they leave, and again; each arrives, at most those under way twice."""
        sink = self.sink("example.net")
        names = [f"n{number}" for number in range(200)]
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["submission"], timeout=60) as client:
            client.login(self.alice.address, self.alice.password)
            for name in names:
                text = messages.plain(self.alice.address, "bob@example.net", name)
                client.sendmail(self.alice.address, ["bob@example.net"], text)
            self.daemon.kill()
        for _ in range(2):
            before = len(sink.messages)
            self.daemon.start()
            wait_for(partial(self.has_more, sink, before))
            self.daemon.kill()
        self.daemon.start()
        wait_for(lambda: not queue(self.daemon))
        taken = b"".join(sink.messages)
        counts = [taken.count(f"Subject: {name}\n".encode()) for name in names]
        self.assertEqual([name for name, count in zip(names, counts, strict=True) if not count], [])
        # RFC 1047: what was under way when the process died may come twice; ten connections were.
        self.assertLessEqual(sum(counts) - len(names), 60)
        print(f"\n    200 accepted, {sum(counts)} arrived, none lost", end=" ")
        checked = self.daemon.command(Verify(seconds=5))
        self.assertEqual((checked["cursor"], checked["flaws"]), (None, []))

    def test_a_message_is_on_its_way_when_the_daemon_is_ended_and_goes_on_after_its_start(self) -> None:
        """An orderly end gives back what it holds."""
        address = self.addresses.next()
        self.names.host("example.net", address)
        submit(self.daemon, self.alice, ["bob@example.net"], messages.plain(self.alice.address, "b", "later"))
        wait_for(lambda: [row for row in queue(self.daemon) if row["attempts"]])
        self.daemon.stop()
        sink = self.open(address)
        self.daemon.start()
        wait_for(lambda: sink.messages and not queue(self.daemon))


@unittest.skipIf(bool(postfix.why_not()), postfix.why_not())
class PostfixTests(TestCase):
    """A real Postfix behind a route, with STARTTLS and the development CA."""

    timeout = 120

    def folder(self) -> Path:
        """A folder of the test's own, by its full name."""
        return Path(self.mktemp()).resolve()

    async def setUp(self) -> None:  # type: ignore[override]
        folder = self.folder()
        made = pki.ensure_development_ca(folder)
        self.postfix = postfix.Postfix(reactor, {"good": (made.certificates[-1].chain, made.certificates[-1].key)})
        self.addCleanup(lambda: Deferred.fromCoroutine(self.postfix.stop()))
        print(f"\n    peer: {await self.postfix.start()!r}", end=" ")
        route = f'[[routing.routes]]\nhost = "localhost"\nport = {self.postfix.ports["good"]}\n'
        route += 'recipient_domain = "example.net"\ntls = "verified"\n'
        ca = f'[outbound]\naddress_order = "ipv4-only"\nca_file = "{made.authority}"\n'
        self.daemon = await self.away(Daemon, f"{HASTE}{route}{ca}")
        self.addCleanup(lambda: deferToThread(self.daemon.close))
        self.alice = await self.away(self.daemon.user, "alice")

    async def away(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call something that blocks, in a thread."""
        found: Deferred[T] = deferToThread(call, *arguments, **named)
        return await found

    async def test_each_recipient_has_its_own_end(self) -> None:
        """One taken over verified TLS, one greylisted, one unknown: Postfix's words are in queue and bounce."""
        recipients = ["bob@example.net", "grey@example.net", "nobody@example.net"]
        text = messages.plain(self.alice.address, "bob@example.net", "three")
        await self.away(submit, self.daemon, self.alice, recipients, text)

        def ended() -> list[dict[str, Any]]:
            rows = queue(self.daemon)
            return rows if len(rows) == 1 and rows[0]["attempts"] else []

        [row] = await self.away(wait_for, ended)
        self.assertIn("grey@example.net", str(row))
        self.assertIn("greylisted", row["reply"])
        [bounce] = await self.away(inbox, self.daemon, self.alice)
        self.assertIn("nobody@example.net", bounce.as_string())
        self.assertNotIn("Final-Recipient: rfc822; bob@example.net", bounce.as_string())
        # The log tells it after the commit that the queue has shown.
        relayed = re.compile(r"relayed .*bob@example\.net.*TLSv1\.3")
        await self.away(wait_for, lambda: relayed.search(self.daemon.log))
