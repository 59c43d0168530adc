"""Mail programs that people use, against a real daemon: each submits or fetches, and the octets are compared."""

from __future__ import annotations

import email
import email.policy
import mailbox
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs import messages
from tests.live.programs.daemon import shared
from tests.live.programs.installed import needs, run
from tests.live.server.test_python_clients import fetched, reader, submitter


class MailProgramTests(SynchronousTestCase):
    """Each test has a sender, a recipient and a home folder of its own."""

    def setUp(self) -> None:
        self.daemon = shared(type(self))
        self.alice, self.bob = self.daemon.user(), self.daemon.user()
        self.ports = {name: str(port) for name, port in self.daemon.ports.items()}
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True, mode=0o700)
        self.text = messages.plain(self.alice.address, self.bob.address, "live")
        self.file = self.home / "message.eml"
        self.file.write_bytes(self.text)

    def settings(self, name: str, text: str) -> Path:
        """A settings file with passwords in it, closed to others."""
        path = self.home / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def deliver(self, text: bytes) -> None:
        """Bring a message for bob, to be fetched."""
        with submitter(self.daemon, self.alice) as session:
            session.sendmail(self.alice.address, [self.bob.address], text)

    def received(self) -> bytes:
        """The one message that bob has."""
        session = reader(self.daemon, self.bob)
        try:
            self.assertEqual(session.stat()[0], 1)
            return fetched(session)
        finally:
            session.quit()

    def left(self) -> int:
        """How many messages bob has."""
        session = reader(self.daemon, self.bob)
        try:
            return session.stat()[0]
        finally:
            session.quit()

    @needs("curl")
    def test_curl_submits_over_starttls(self) -> None:
        """AUTH PLAIN without an initial response."""
        run(
            f"curl -sS --ssl-reqd --cacert {self.daemon.ca} --user {self.alice.address}:{self.alice.password}"
            f" --mail-from {self.alice.address} --mail-rcpt {self.bob.address} --upload-file {self.file}"
            f" smtp://localhost:{self.ports['submission']}"
        )
        self.assertTrue(messages.as_sent(self.received(), self.text))

    @needs("curl")
    def test_curl_fetches_over_pop3s_and_stls(self) -> None:
        """The same message by both doors."""
        self.deliver(self.text)
        curl = f"curl -sS --ssl-reqd --cacert {self.daemon.ca} --user {self.bob.address}:{self.bob.password}"
        by_tls = run(f"{curl} pop3s://localhost:{self.ports['pop3s']}/1").stdout
        by_stls = run(f"{curl} pop3://localhost:{self.ports['pop3']}/1").stdout
        self.assertEqual(by_tls, by_stls)
        self.assertTrue(messages.as_sent(by_tls, self.text))

    @needs("swaks")
    def test_swaks_submits_over_starttls(self) -> None:
        """And checks the certificate."""
        run(
            f"swaks --server localhost --port {self.ports['submission']} --tls --tls-verify"
            f" --tls-ca-path {self.daemon.ca} --auth PLAIN --auth-user {self.alice.address}"
            f" --auth-password {self.alice.password} --from {self.alice.address} --to {self.bob.address}"
            f" --data @{self.file}"
        )
        self.assertIn(self.text.rstrip(b"\r\n."), self.received())

    @needs("swaks")
    def test_swaks_logs_in_by_login_on_submissions(self) -> None:
        """AUTH LOGIN over implicit TLS, pipelined."""
        run(
            f"swaks --server localhost --port {self.ports['submissions']} --tls-on-connect --pipeline --auth LOGIN"
            f" --auth-user {self.alice.address} --auth-password {self.alice.password}"
            f" --from {self.alice.address} --to {self.bob.address} --header 'Subject: by swaks'"
        )
        self.assertIn(b"Subject: by swaks\r\n", self.received())

    @needs("msmtp")
    def test_msmtp_submits(self) -> None:
        """STARTTLS with a checked certificate."""
        settings = self.settings(
            "msmtprc",
            f"account a\nhost localhost\nport {self.ports['submission']}\ntls on\ntls_starttls on\n"
            f"tls_trust_file {self.daemon.ca}\nauth on\nuser {self.alice.address}\n"
            f'password "{self.alice.password}"\nfrom {self.alice.address}\n',
        )
        run(["msmtp", "-C", settings, "-a", "a", self.bob.address], stdin=messages.unix(self.text), home=self.home)
        self.assertTrue(messages.as_sent(self.received(), self.text))

    @needs("mpop")
    def test_mpop_fetches_and_deletes(self) -> None:
        """It pipelines, and would take APOP from a greeting with a stamp."""
        self.deliver(self.text)
        (self.home / "inbox" / "tmp").mkdir(parents=True)
        for name in ("new", "cur"):
            (self.home / "inbox" / name).mkdir()
        settings = self.settings(
            "mpoprc",
            f"account a\nhost localhost\nport {self.ports['pop3s']}\ntls on\ntls_starttls off\n"
            f"tls_trust_file {self.daemon.ca}\nuser {self.bob.address}\n"
            f'password "{self.bob.password}"\ndelivery maildir {self.home}/inbox\nkeep off\n'
            f"uidls_file {self.home}/uidls\nreceived_header off\n",
        )
        run(["mpop", "-C", settings, "a"], home=self.home)
        (delivered,) = (self.home / "inbox" / "new").iterdir()
        self.assertTrue(delivered.read_bytes().endswith(messages.unix(self.text)))
        self.assertEqual(self.left(), 0)

    @needs("fetchmail")
    def test_fetchmail_fetches_and_keeps(self) -> None:
        """It fetches by TOP n 99999999 when it keeps mail."""
        self.deliver(self.text)
        settings = self.settings(
            "fetchmailrc",
            f'poll localhost service {self.ports["pop3s"]} proto pop3 user "{self.bob.address}" '
            f'password "{self.bob.password}" ssl sslcertck sslcertfile "{self.daemon.ca}" keep no rewrite '
            f'mda "cat > {self.home}/fetched"\n',
        )
        run(
            f"fetchmail -f {settings} --invisible --nosyslog",
            home=self.home,
            environ={"FETCHMAILHOME": str(self.home)},
        )
        self.assertTrue((self.home / "fetched").read_bytes().endswith(messages.unix(self.text)))
        self.assertEqual(self.left(), 1)

    @needs("getmail")
    def test_getmail_fetches(self) -> None:
        """It never asks for CAPA."""
        self.deliver(self.text)
        # As root it would refuse to write a maildir.
        self.settings(
            "getmailrc",
            f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {self.ports['pop3s']}\n"
            f"username = {self.bob.address}\npassword = {self.bob.password}\nca_certs = {self.daemon.ca}\n"
            f'[destination]\ntype = MDA_external\npath = {shutil.which("tee")}\narguments = ("{self.home}/fetched",)\n'
            "allow_root_commands = true\n[options]\ndelete = true\ndelivered_to = false\nreceived = false\n",
        )
        run(["getmail", "--getmaildir", self.home, "--rcfile", "getmailrc"], home=self.home)
        self.assertTrue(messages.unix((self.home / "fetched").read_bytes()).endswith(messages.unix(self.text)))
        self.assertEqual(self.left(), 0)

    @needs("mutt")
    def test_mutt_submits_an_attachment(self) -> None:
        """It encodes by itself; the file inside is compared."""
        octets = messages.attachment(50_000)
        (self.home / "octets.bin").write_bytes(octets)
        settings = self.settings(
            "muttrc",
            f'set smtp_url="smtp://{self.alice.name}%40example.test@localhost:{self.ports["submission"]}/"\n'
            f'set smtp_pass="{self.alice.password}"\nset ssl_force_tls=yes\nset ssl_starttls=yes\n'
            f'set certificate_file="{self.daemon.ca}"\nset ssl_ca_certificates_file="{self.daemon.ca}"\n'
            f'set from="{self.alice.address}"\nset use_from=yes\nset copy=no\nset use_envelope_from=yes\n',
        )
        run(
            ["mutt", "-F", settings, "-s", "by mutt", "-a", "octets.bin", "--", self.bob.address],
            stdin=b".a line with a dot\n",
            home=self.home,
        )
        self.assert_attachment(self.received(), octets, b".a line with a dot")

    @needs("s-nail")
    def test_s_nail_submits_and_fetches(self) -> None:
        """Over STARTTLS out and POP3S in; `xit` leaves without QUIT, and nothing is deleted then."""
        octets = messages.attachment(50_000, seed=2)
        (self.home / "octets.bin").write_bytes(octets)
        nail = f"s-nail -n -S v15-compat=yes -S tls-ca-no-defaults -S tls-ca-file={self.daemon.ca} -S tls-verify=strict"
        out = f"smtp://{self.alice.name}%40example.test:{self.alice.password}@localhost:{self.ports['submission']}"
        run(
            f"{nail} -S mta={out} -S smtp-use-starttls -S from={self.alice.address} -s 'by s-nail' -a octets.bin"
            f" {self.bob.address}",
            stdin=b".a line with a dot\n",
            home=self.home,
        )
        self.assert_attachment(self.received(), octets, b".a line with a dot")
        box = f"pop3s://{self.bob.name}%40example.test:{self.bob.password}@localhost:{self.ports['pop3s']}"
        run(f"{nail} -# -f {box}", stdin=b"copy 1 fetched.mbox\nxit\n", home=self.home)
        (copied,) = mailbox.mbox(self.home / "fetched.mbox")
        self.assertEqual(copied["Subject"], "by s-nail")
        self.assert_attachment(copied.as_bytes(), octets, b".a line with a dot")
        self.assertEqual(self.left(), 1)

    def assert_attachment(self, fetched_text: bytes, octets: bytes, line: bytes) -> None:
        """The message has that attachment, and that line in its text."""
        parsed = email.message_from_bytes(fetched_text, policy=email.policy.default)
        (attached,) = parsed.iter_attachments()
        self.assertEqual(attached.get_content(), octets)
        body = parsed.get_body(("plain",))
        assert body is not None
        self.assertIn(line, body.get_content().encode())
