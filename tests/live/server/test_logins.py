"""Logins of a real daemon by passwords of other systems: Debian's slapd, Dovecot, and a package installed by pip."""

from __future__ import annotations

import hashlib
import poplib
import shutil
import smtplib
import sqlite3
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Final
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from emailsys.pki import ensure_development_ca
from tests.live.programs import dovecot, slapd
from tests.live.programs.daemon import DOMAIN, PATIENCE, Daemon, User
from tests.live.server.test_checks import CHECKOUT, PAGE, install

PACKAGE: Final = CHECKOUT / "tests" / "extension" / "logins"


def submission(daemon: Daemon, user: User) -> int:
    """Log in on the submission port; the code of the reply."""
    with smtplib.SMTP("127.0.0.1", daemon.ports["submission"], timeout=PATIENCE) as client:
        client.ehlo("client.test")
        try:
            return client.login(user.address, user.password)[0]
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code


def maildrop(daemon: Daemon, user: User) -> str:
    """Log in by POP3, which a worker serves; the reply."""
    session = poplib.POP3("127.0.0.1", daemon.ports["pop3"], timeout=PATIENCE)
    try:
        session.user(user.address)
        return session.pass_(user.password).decode()
    except poplib.error_proto as error:
        return str(error.args[0], "utf-8")
    finally:
        session.close()


def members(path: Path, user: User) -> Path:
    """Write the database of a web application, which has one user."""
    password = hashlib.scrypt(user.password.encode(), salt=b"salt", n=2**14, r=8, p=1)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE members (address TEXT PRIMARY KEY, salt BLOB, hash BLOB)")
        connection.execute("INSERT INTO members VALUES (?, ?, ?)", (user.address, b"salt", password))
    connection.close()
    return path


class OutsideTests(TestCase):
    """One daemon that asks four others, with POP3 in worker processes."""

    if sys.platform != "linux":
        skip = "workers need Linux"
    timeout = 240

    def setUp(self) -> None:
        # The paths of Unix sockets have 108 octets at most.
        self.folder = Path(tempfile.mkdtemp(prefix="em-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # Dovecot's processes look for their sockets as users of their own.
        self.folder.chmod(0o755)

    @unittest.skipIf(bool(slapd.why_not()), slapd.why_not())
    @unittest.skipIf(bool(dovecot.why_not()), dovecot.why_not())
    def test_each_system_that_knows_passwords_is_asked_in_turn(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.each_in_turn())

    async def each_in_turn(self) -> None:
        example = (PACKAGE / "example_logins.py").read_text("utf-8")
        self.assertLessEqual(example.count("\n"), 40)
        self.assertIn(f"```python\n{example}```\n", PAGE.read_text("utf-8"))

        names = ("mina", "lena", "lisa", "lara", "dora")
        mina, lena, lisa, lara, dora = (User(name, f"{name}'s secret") for name in names)
        made = ensure_development_ca(self.folder / "ca", ("localhost",))
        chain, key = made.certificates[0].chain, made.certificates[0].key
        people = {"cn=lena": lena.password, "cn=lisa,ou=staff": lisa.password}
        # Only a search finds her, by her uid.
        people["cn=Lara Smith,ou=staff"] = lara.password
        directory = slapd.Slapd(self.folder / "l", chain, key, people)
        directory.start()
        self.addCleanup(directory.stop)
        other = dovecot.Dovecot(self.folder / "d", chain, key, {dora.address: dora.password})
        await other.start(reactor)
        self.addCleanup(other.stop)

        database = members(self.folder / "members.sqlite", mina)
        checkers = [
            "local",
            f"plugin:members:{database}",
            f"ldapi://{quote(str(directory.socket), safe='')}/cn={{user}},{slapd.BASE}",
            f"ldaps://localhost:{directory.port}/cn={{user}},{slapd.STAFF}?ca_file={made.authority}",
            f"ldap://localhost:{directory.plain_port}/{slapd.BASE}?uid",
            f"dovecot:unix:{other.sasl}",
        ]
        listed = ", ".join(f'"{one}"' for one in checkers)
        config = f"[login]\nauth = [{listed}]\ncreate_accounts = true\nauth_deadline = '60s'\n[pop3]\nworkers = 1\n"
        daemon = Daemon(config, environment=install(self.folder / "packages", PACKAGE))
        self.addCleanup(daemon.close)
        alice = daemon.user("alice")
        for user in (alice, mina, lena, lisa, lara, dora):
            self.assertEqual(submission(daemon, user), 235, user)
            self.assertRegex(maildrop(daemon, user), r"^\+OK", user)
            wrong = User(user.name, "wrong")
            self.assertEqual(submission(daemon, wrong), 535, user)
            self.assertRegex(maildrop(daemon, wrong), r"^-ERR \[AUTH\]", user)
        for user, check in ((mina, "members"), (lena, "ldapi"), (lisa, "ldaps"), (lara, "ldap"), (dora, "dovecot")):
            self.assertEqual(daemon.log.count(f"account-made account={user.name}@{DOMAIN} check={check}"), 1)

        # A system that is away refuses nobody, and holds up no other.
        directory.stop()
        for user in (alice, mina, dora):
            self.assertEqual(submission(daemon, user), 235, user)
        self.assertEqual(submission(daemon, lena), 454)
        self.assertRegex(maildrop(daemon, lena), r"^-ERR \[SYS/TEMP\]")
        self.assertIn("login-check-failed check=ldapi why=", daemon.log)
        self.assertEqual(daemon.log.count("Traceback"), 0)
