"""Mail for a domain goes to a command of a real daemon, is tried again, and its life is told."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.requests import RouteExplain, RouteSet, Trace
from emailsys.mail.address import parse
from emailsys.mail.next_hop import TLSPolicy
from emailsys.platforms.users import is_root
from tests.live.outbound.test_relay import HASTE, inbox, queue, submit
from tests.live.programs import messages
from tests.live.programs.daemon import Daemon, Failed
from tests.live.programs.lab import wait_for

BOB, NOBODY = "bob@tickets.example", "nobody@tickets.example"
SCRIPT = """#!/bin/sh
cd "$1" || exit 75
case $RECIPIENT in nobody@*) echo 'no such queue'; exit 67;; esac
[ -e tried ] || { touch tried; exit 75; }
cat > mail
echo "ticket 7"
"""


class PipeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-pipe-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = self.folder / "tickets"
        self.program.write_text(SCRIPT)
        self.program.chmod(0o755)
        os.chmod(self.folder, 0o777)
        user = 'user = "nobody"\n' if is_root() else ""
        route = (
            f'[[routing.routes]]\nhost = "pipe:{self.program} {self.folder} geheim"\n'
            f'recipient_domain = "tickets.example"\n{user}'
        )
        self.daemon = Daemon(f"{HASTE}{route}")
        self.addCleanup(self.daemon.close)
        self.alice = self.daemon.user("alice")

    def test_a_command_gets_mail(self) -> None:
        shown = f"pipe:{self.program}"
        told = self.daemon.command(RouteExplain(parse(BOB)))
        self.assertEqual([hop["next_hop"] for hop in told["next_hops"]], [shown])
        submit(self.daemon, self.alice, [BOB, NOBODY], messages.plain(self.alice.address, BOB, "a printer burns"))
        [bounce] = wait_for(lambda: inbox(self.daemon, self.alice))
        self.assertIn(f"Final-Recipient: rfc822; {NOBODY}", bounce.as_string())
        self.assertIn("user unknown: no such queue", bounce.as_string())
        wait_for(lambda: not queue(self.daemon))
        text = (self.folder / "mail").read_text()
        self.assertTrue(text.startswith(f"Return-Path: <{self.alice.address}>\nDelivered-To: {BOB}\n"), text)
        self.assertIn("\nSubject: a printer burns\n", text)
        [life] = [one for one in self.daemon.command(Trace(BOB, 10))["lives"] if one["sender"]]
        ends = [(event["kind"], event["reply"]) for event in life["events"] if event["recipient"] == BOB]
        self.assertIn(("relayed", f"250 2.0.0 {shown}: took the message: ticket 7"), ends)
        self.assertIn(("delayed", f"451 4.3.0 {shown}: exit status 75, temporary failure"), ends)
        self.assertNotIn("geheim", self.daemon.log)
        # Only who may change the configuration decides what is run.
        with self.assertRaisesRegex(Failed, "a command is set in the configuration"):
            self.daemon.command(RouteSet("pipe:/bin/sh", TLSPolicy.OPPORTUNISTIC, 0, "x.example"))
