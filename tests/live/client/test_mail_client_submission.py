"""`emailsys mail` with a real provider: Postfix for submission, Dovecot for logins and POP3S. Prints their banners."""

from __future__ import annotations

import os
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys import pki
from tests.live.programs import dovecot, postfix
from tests.live.programs.dovecot import Dovecot
from tests.live.programs.person import Person
from tests.live.programs.postfix import Postfix

ALICE, BOB = "alice@example.net", "bob@example.net"
PASSWORDS = {ALICE: "a secret of Alice's", BOB: "bob's"}


@unittest.skipIf(bool(dovecot.why_not() or postfix.why_not()), dovecot.why_not() or postfix.why_not())
class SubmissionTests(TestCase):
    """Nobody sends there without having logged in under TLS; Dovecot tells Postfix who may (SASL)."""

    timeout = 120

    async def provider(self, hidden: str = "") -> None:
        """Start both, and make Alice a home. @param hidden: a mechanism that Postfix does not offer."""
        folder = Path(tempfile.mkdtemp(prefix="emailsys-provider-"))
        os.chmod(folder, 0o755)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        made = pki.ensure_development_ca(folder / "certs")
        self.ca, files = made.authority, made.certificates[-1]
        self.dovecot = Dovecot(folder / "dovecot", files.chain, files.key, PASSWORDS)
        greeting = await self.dovecot.start(reactor)
        self.addCleanup(self.dovecot.stop)
        settings = {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": str(self.dovecot.sasl),
            "smtpd_sasl_mechanism_filter": f"!{hidden}, static:rest" if hidden else "static:rest",
            "smtpd_tls_auth_only": "yes",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
            "virtual_transport": "virtual:",
            "virtual_mailbox_base": str(self.dovecot.maildir),
            "virtual_mailbox_maps": f"inline:{{{ALICE}={ALICE}/, {BOB}={BOB}/}}",
            "virtual_uid_maps": f"static:{dovecot.OWNER}",
            "virtual_gid_maps": f"static:{dovecot.OWNER}",
        }
        self.postfix = Postfix(reactor, {"submission": (files.chain, files.key)}, settings)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.postfix.stop()))
        print(f"\n    peers: {await self.postfix.start()!r}, {greeting!r}", end=" ")
        self.alice = Person(folder / "alice")

    async def add(self, person: Person, address: str, password: str, *words: str) -> Any:
        """Add an account, as its owner does at the command line."""
        return await deferToThread(
            person.run, "account", "add", address,
            "--pop3", f"localhost:{self.dovecot.pop3s}", "--pop3-security", "tls",
            "--smtp", f"localhost:{self.postfix.ports['submission']}", "--smtp-security", "starttls",
            "--ca-file", str(self.ca), "--password-command", f'echo "{password}"', *words,
        )  # fmt: skip

    async def until_delivered(self) -> Any:
        """Alice's mail, fetched over POP3S once Postfix has put it into her maildrop."""
        for _ in range(100):
            (fetched,) = await deferToThread(self.alice.json, "fetch")
            if fetched["keys"]:
                return fetched
        raise AssertionError("it does not arrive")

    async def goes_round(self, hidden: str) -> None:
        await self.provider(hidden)
        added = await self.add(self.alice, ALICE, PASSWORDS[ALICE])
        self.assertEqual(added.returncode, 0, added.stderr)
        body = "From pipe to maildrop.\n.\nÄ dot went before.\n"
        sent = await deferToThread(self.alice.json, "send", ALICE, "-s", "Round", typed=body.encode())
        self.assertEqual((sent["accepted"], sent["problem"]), ([ALICE], None))
        fetched = await self.until_delivered()
        shown = await deferToThread(self.alice.json, "show", fetched["keys"][0])
        self.assertEqual(shown["body"].strip(), body.strip())
        raw = (await deferToThread(self.alice.run, "raw", fetched["keys"][0])).stdout
        # RFC 3848: what Postfix calls a message that came after a login under TLS.
        self.assertIn("with ESMTPSA", raw)

    async def test_a_message_is_submitted_with_plain_and_fetched(self) -> None:
        await self.goes_round(hidden="login")

    async def test_a_server_that_knows_login_alone_takes_it_too(self) -> None:
        await self.goes_round(hidden="plain")

    async def test_a_wrong_password_is_named_and_the_message_waits(self) -> None:
        await self.provider()
        refused = await self.add(self.alice, ALICE, "wrong")
        self.assertEqual(refused.returncode, 69)
        self.assertIn("not added", refused.stderr)
        added = await self.add(self.alice, ALICE, "wrong", "--force")
        self.assertEqual(added.returncode, 0, added.stderr)
        sent = await deferToThread(self.alice.run, "send", BOB, "-s", "x", "-m", "x")
        self.assertEqual(sent.returncode, 75, sent.stderr)
        self.assertIn("535 5.7.8", sent.stderr)
        self.assertIn(f"refused the login of {ALICE}", sent.stderr)
        self.assertIn("check user name and password", sent.stderr)
        (waiting,) = await deferToThread(self.alice.json, "outbox", "list")
        self.assertEqual(waiting["recipients"], [BOB])
        fetched = await deferToThread(self.alice.run, "fetch")
        self.assertEqual(fetched.returncode, 69)
        self.assertIn(f"refused the login of {ALICE}", fetched.stderr)
