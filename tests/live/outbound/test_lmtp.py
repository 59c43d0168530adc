"""Mail for the domain of another system goes into Dovecot's mailboxes by LMTP, over a socket and over TCP."""

from __future__ import annotations

import os
import shutil
import smtplib
import tempfile
import unittest
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.control.requests import RouteExplain, RouteSet
from emailsys.mail.address import parse
from emailsys.mail.next_hop import TLSPolicy
from tests.live.outbound.test_relay import HASTE, inbox, queue, submit
from tests.live.programs import dovecot, messages
from tests.live.programs.daemon import DOMAIN, Daemon
from tests.live.programs.lab import wait_for

reactor: Any = _reactor

BOB, CAROL, NOBODY = "bob@office.example", "carol@office.example", "nobody@office.example"


@unittest.skipIf(bool(dovecot.why_not()), dovecot.why_not())
class LMTPTests(TestCase):
    """Dovecot has the mailboxes of a domain."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        # The names of sockets must be short.
        folder = Path(tempfile.mkdtemp(prefix="emailsys-lmtp-"))
        os.chmod(folder, 0o755)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        made = pki.ensure_development_ca(folder / "certs")
        files = made.certificates[-1]
        self.server = dovecot.Dovecot(folder / "d", files.chain, files.key, {BOB: "bob", CAROL: "carol"})
        print(f"\n    peer: {await self.server.start(reactor)!r}", end=" ")
        self.addCleanup(self.server.stop)
        routing = '[routing]\nrelay_domains = ["office.example"]\n'
        route = f'[[routing.routes]]\nhost = "lmtp:{self.server.lmtp}"\nrecipient_domain = "Office.Example"\n'
        self.daemon = await deferToThread(Daemon, f"{HASTE}{routing}{route}")
        self.addCleanup(deferToThread, self.daemon.close)
        self.alice = await deferToThread(self.daemon.user, "alice")

    async def test_each_recipient_has_its_own_end(self) -> None:
        """A stranger's mail goes to the socket, and Alice's to the port, over TLS, by a route of the store."""
        await deferToThread(self.send, [BOB], "from a stranger")
        [text] = await deferToThread(wait_for, lambda: self.delivered(BOB))
        self.assertTrue(text.startswith("Return-Path: <eve@elsewhere.example>"), text)
        self.assertIn("Subject: from a stranger", text)
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            await deferToThread(self.send, ["bob@elsewhere.example"], "no relay")

        route = RouteSet("lmtp:127.0.0.1", TLSPolicy.REQUIRED, self.server.lmtp_port, "office.example", DOMAIN)
        self.assertEqual((await deferToThread(self.daemon.command, route))["host"], "lmtp:[127.0.0.1]")
        for sender, host in (
            ("eve@elsewhere.example", f"lmtp:{self.server.lmtp}"),
            (self.alice.address, f"lmtp:[127.0.0.1]:{self.server.lmtp_port}"),
        ):
            told = await deferToThread(self.daemon.command, RouteExplain(parse(BOB), parse(sender)))
            self.assertEqual([hop["next_hop"] for hop in told["next_hops"]], [host])
        message = messages.plain(self.alice.address, BOB, "from a colleague")
        await deferToThread(submit, self.daemon, self.alice, [CAROL, NOBODY, BOB], message)
        [bounce] = await deferToThread(wait_for, lambda: inbox(self.daemon, self.alice))
        self.assertIn(f"Final-Recipient: rfc822; {NOBODY}", bounce.as_string())
        self.assertIn("User doesn't exist", bounce.as_string())
        self.assertNotIn(f"Final-Recipient: rfc822; {BOB}", bounce.as_string())
        await deferToThread(wait_for, lambda: not queue(self.daemon))
        self.assertEqual((len(self.delivered(BOB)), len(self.delivered(CAROL))), (2, 1))
        self.assertRegex(self.daemon.log, r"relayed .*carol@office\.example.*TLSv1\.3")

    def send(self, recipients: list[str], subject: str) -> None:
        """Send as a client without a login."""
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"], timeout=60) as client:
            sender = "eve@elsewhere.example"
            client.sendmail(sender, recipients, messages.plain(sender, recipients[0], subject))

    def delivered(self, owner: str) -> list[str]:
        """Return the messages in a mailbox of Dovecot."""
        return [path.read_text() for path in (self.server.maildir / owner / "new").iterdir()]
