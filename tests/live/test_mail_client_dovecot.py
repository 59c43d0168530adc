"""The mail client against Dovecot's POP3, under STLS and implicit TLS, where that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.client.accounts.values import Account, Keep, KeepKind, SecretKind, SecretSource, Security, Server
from emailsys.client.fetch import Wanted
from emailsys.mail.address import parse
from tests.fakes.client_house import ClientHouse, numbered
from tests.live.daemon import free_ports

DOVECOT = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin")


class DovecotTests(TestCase):
    """A server of its own for each test, in the foreground."""

    timeout = 60
    if DOVECOT is None:
        skip = "Dovecot is not installed (dovecot-pop3d)"
    elif not hasattr(os, "geteuid") or os.geteuid() != 0:
        skip = "Dovecot is started as root only"

    def setUp(self) -> None:
        assert DOVECOT is not None
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-dovecot-"))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        made = pki.ensure_development_ca(self.folder / "certs")
        self.ca = made.authority
        files = made.certificates[0]
        self.pop3, self.pop3s = free_ports(2)
        self.maildir = self.folder / "mail"
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        for number, octets in enumerate(numbered(50)):
            (self.maildir / "new" / f"{number:04}.test").write_bytes(octets)
        for path in (self.maildir, *self.maildir.rglob("*")):
            os.chown(path, 65534, 65534)
        config = self.folder / "dovecot.conf"
        config.write_text(
            f"""protocols = pop3
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/log
listen = 127.0.0.1
mail_location = maildir:{self.maildir}
ssl = required
ssl_cert = <{files.chain}
ssl_key = <{files.key}
first_valid_uid = 1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={self.folder}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3}
  }}
  inet_listener pop3s {{
    port = {self.pop3s}
    ssl = yes
  }}
}}
"""
        )
        self.server = subprocess.Popen([DOVECOT, "-F", "-c", str(config)], stderr=subprocess.PIPE)
        self.addCleanup(self._stop)
        self.client = ClientHouse(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))

    def _stop(self) -> None:
        self.server.terminate()
        _, said = self.server.communicate(timeout=20)
        self.assertEqual(self.server.returncode, 0, said)

    def account(self, security: Security) -> Account:
        port = self.pop3s if security is Security.TLS else self.pop3
        secret = SecretSource(SecretKind.FILE, value="secret")
        address = parse("alice@example.test")
        return Account(
            "alice", address, pop3=Server("localhost", port, security, "alice", secret=secret, ca_file=self.ca)
        )

    async def fetch(self, security: Security, wanted: Wanted) -> None:
        account = self.account(security)
        result = await self.client.fetcher.fetch(account, wanted)
        for _attempt in range(400):
            if "refused" not in str(result.problem):
                break
            # It has not begun to listen.
            await deferLater(reactor, 0.05)
            result = await self.client.fetcher.fetch(account, wanted)
        self.assertIsNone(result.problem)
        self.assertEqual(self.client.messages(), sorted(numbered(50)))

    async def test_messages_are_fetched_once_by_implicit_tls_and_stay(self) -> None:
        await self.fetch(Security.TLS, Wanted())
        result = await self.client.fetcher.fetch(self.account(Security.TLS))
        self.assertEqual((result.keys, result.on_server, result.problem), ((), 50, None))

    async def test_messages_are_fetched_by_stls_and_deleted(self) -> None:
        await self.fetch(Security.STARTTLS, Wanted(keep=Keep(KeepKind.DELETE)))
        self.assertEqual([path for path in self.maildir.rglob("*.test*") if path.is_file()], [])
