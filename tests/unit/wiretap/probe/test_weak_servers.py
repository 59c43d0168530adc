"""Servers with known weaknesses: each is found, and is not found where it is mended."""

from __future__ import annotations

import itertools
import socket
import ssl
from dataclasses import replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.conversation import Conversation, Kind
from emailsys.wiretap.probe.examination import Wishes, examine
from emailsys.wiretap.probe.judgement import judge_compression, judge_groups, judge_suites, judge_versions
from emailsys.wiretap.probe.limits import Deadline
from emailsys.wiretap.probe.offers import Accepted, Groups
from emailsys.wiretap.probe.report import Report
from emailsys.wiretap.probe.target import Protocol, Target
from emailsys.wiretap.tls.anchors import Anchors
from emailsys.wiretap.tls.names import SSL3, TLS10, TLS11, TLS12, TLS13
from emailsys.wiretap.tls.suites import suite
from emailsys.wiretap.verdict import Finding, Verdict
from tests.fakes.net.tls_pair import NOW, Issued, issue
from tests.fakes.net.toy_server import Behaviour, ToyServer, ToySMTP

# An address that is not of this machine. Nothing is sent there: the toy listens on loopback.
ELSEWHERE = "192.0.2.1"


@cache
def _certificate() -> Issued:
    return issue("localhost", names=("localhost",), key=rsa.generate_private_key(65537, 2048))


class WeakServerTests(SynchronousTestCase):
    """A toy with an RSA certificate."""

    def setUp(self) -> None:
        self.issued = _certificate()

    def context(
        self, ciphers: str = "ECDHE-RSA-AES128-GCM-SHA256", newest: int = ssl.TLSVersion.TLSv1_3
    ) -> ssl.SSLContext:
        """A context of a server."""
        path = Path(self.mktemp())
        key = self.issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + self.issued.certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion(newest)
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        context.load_cert_chain(path)
        return context

    def probe(self, behaviour: Behaviour, *, smuggles: bool = False) -> Report:
        """The report, by a client that trusts the certificate."""
        server = ToyServer(behaviour)
        self.addCleanup(server.close)
        target = Target("localhost", server.port, Protocol.SMTP, ("127.0.0.1",), "localhost")
        wishes = Wishes(Anchors([self.issued.certificate]), smuggles, now=lambda: NOW)
        return examine(target, Deadline(60, pauses=(0.01,) * 20), wishes, lambda words: None)

    def finding(self, report: Report, check: str) -> Finding:
        """The finding of a check."""
        (found,) = [finding for finding in report.findings if finding.check == check]
        return found

    def test_good_server(self) -> None:
        """Nothing is bad; the conversation and the handshake are those of the first connection."""
        report = self.probe(ToySMTP(self.context()))
        bad = [one for one in report.findings if one.verdict in (Verdict.BAD, Verdict.WEAK, Verdict.UNTESTED)]
        self.assertEqual(bad, [])
        self.assertTrue(report.is_complete)
        assert report.handshake is not None
        assert report.clear is not None
        self.assertEqual(report.handshake.version, "TLS 1.3")
        self.assertEqual(report.handshake.certificates, (self.issued.der,))
        self.assertIn("STARTTLS", report.clear.extensions)
        self.assertEqual(
            [suite(code).openssl for code in report.versions[TLS12].suites], ["ECDHE-RSA-AES128-GCM-SHA256"]
        )
        self.assertGreaterEqual(len(report.versions[TLS13].suites), 1)
        conversation = Conversation.from_json(report.conversation().to_json())
        self.assertEqual(
            [event.text for event in conversation.events if event.kind is Kind.COMMAND],
            ["EHLO probe.invalid", "STARTTLS", "EHLO probe.invalid", "QUIT"],
        )

    def test_busy_server(self) -> None:
        """A server that refuses some connections is asked again: nothing that it accepts is missing in the report.

        Exim counts connections for a while after their end, and refuses in the clear where TLS is due.
        """
        toy, counted = ToySMTP(self.context()), itertools.count()

        def busy(connection: socket.socket) -> None:
            number = next(counted)
            if number % 3 == 1:
                connection.sendall(b"421 too many connections\r\n")
            elif number % 3 == 2:
                connection.sendall(b"220 toy ESMTP\r\n")
                connection.recv(100)
                connection.sendall(b"250 STARTTLS\r\n")
                connection.recv(100)
                connection.sendall(b"220 go ahead\r\n421 too many connections\r\n")
                connection.recv(4096)
            else:
                toy(connection)

        report, quiet = self.probe(busy), self.probe(toy)
        self.assertEqual(report.findings, quiet.findings)
        self.assertEqual(report.versions.keys(), quiet.versions.keys())
        for version, accepted in report.versions.items():
            self.assertEqual(accepted.suites, quiet.versions[version].suites)

    def test_times_of_the_conversation(self) -> None:
        """They begin with the connection, not with the probe, which looks up names first."""
        server = ToyServer(ToySMTP())
        self.addCleanup(server.close)
        deadline = Deadline(600)
        deadline.began -= 100
        target = Target("localhost", server.port, Protocol.SMTP, ("127.0.0.1",), "localhost")
        report = examine(target, deadline, Wishes(Anchors()), lambda words: None)
        self.assertLess(report.conversation().seconds, 50)

    def test_no_tls(self) -> None:
        """STARTTLS is not offered; passwords are still looked for."""
        report = self.probe(ToySMTP(clear_login=True))
        self.assertIs(self.finding(report, "TLS offered").verdict, Verdict.BAD)
        self.assertIs(self.finding(report, "clear passwords").verdict, Verdict.NOTE)

    def test_command_injection(self) -> None:
        """CVE-2011-0411, and a server that drops what came with STARTTLS."""
        for keeps, verdict in ((True, Verdict.BAD), (False, Verdict.GOOD)):
            report = self.probe(ToySMTP(self.context(), keeps_commands=keeps))
            self.assertIs(self.finding(report, "command injection").verdict, verdict)

    def test_command_injection_that_is_answered_by_an_error(self) -> None:
        """The command was carried out, whatever its answer is."""
        report = self.probe(ToySMTP(self.context(), keeps_commands=True, to_noop="503 5.5.1 EHLO first"))
        self.assertIs(self.finding(report, "command injection").verdict, Verdict.BAD)

    def test_clear_passwords(self) -> None:
        """A note on loopback, a fault elsewhere."""
        report = self.probe(ToySMTP(self.context(), clear_login=True))
        self.assertIs(self.finding(report, "clear passwords").verdict, Verdict.NOTE)
        self.assertFalse(replace(report.target, addresses=("127.0.0.1", ELSEWHERE)).is_on_loopback)

    def test_static_rsa_and_no_tls_1_3(self) -> None:
        """Suites without forward secrecy, and a version that is missing."""
        report = self.probe(ToySMTP(self.context("AES128-SHA:AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2)))
        self.assertIs(self.finding(report, "static RSA").verdict, Verdict.WEAK)
        self.assertIs(self.finding(report, "version TLS 1.3").verdict, Verdict.WEAK)
        self.assertIs(self.finding(report, "forward secrecy").verdict, Verdict.WEAK)
        names = {suite(code).openssl for code in report.versions[TLS12].suites}
        self.assertEqual(names, {"AES128-SHA", "AES128-GCM-SHA256"})

    def test_old_versions_only(self) -> None:
        """Judged from values: not every library of a test machine still speaks TLS 1.0."""
        versions = {version: Accepted(version, ()) for version in (SSL3, TLS11, TLS12, TLS13)}
        versions[TLS10] = Accepted(TLS10, (0x000A, 0x0005, 0x0018))
        found = {one.check: one.verdict for one in (*judge_versions(versions), *judge_suites(versions))}
        self.assertEqual(found["version TLS 1.0"], Verdict.WEAK)
        self.assertEqual(found["version TLS 1.2"], Verdict.BAD)
        self.assertEqual((found["broken suites"], found["anonymous suites"]), (Verdict.BAD, Verdict.WEAK))
        versions[SSL3] = Accepted(SSL3, (0x000A,))
        self.assertIs(judge_versions(versions)[0].verdict, Verdict.BAD)
        groups = {
            (): Verdict.GOOD,
            (1024,): Verdict.WEAK,
            (512, 2048): Verdict.BAD,
            (2048,): Verdict.GOOD,
        }
        for primes, verdict in groups.items():
            self.assertIs(judge_groups(Groups((29,), primes), versions)[0].verdict, verdict)
        self.assertIs(judge_groups(Groups((19,)), versions)[0].verdict, Verdict.WEAK)
        self.assertIs(judge_compression(True).verdict, Verdict.BAD)

    def test_untrusted_certificate(self) -> None:
        """The steps of the validation are findings."""
        server = ToyServer(ToySMTP(self.context()))
        self.addCleanup(server.close)
        target = Target("localhost", server.port, Protocol.SMTP, ("127.0.0.1",), "mx.example.test")
        report = examine(target, Deadline(60), Wishes(Anchors(), now=lambda: NOW), lambda words: None)
        bad = {one.check for one in report.findings if one.verdict is Verdict.BAD}
        self.assertEqual(bad, {"names", "trust anchor"})

    def test_smuggling(self) -> None:
        """Only variants that the server takes for the end of a message are bad; without the wish, nothing is sent."""
        report = self.probe(ToySMTP(self.context(), ends=rb"\r?\n\.\r?\n"), smuggles=True)
        found = {
            one.check.removeprefix("smuggling "): one.verdict for one in report.findings if "smuggling" in one.check
        }
        bad = {name for name, verdict in found.items() if verdict is Verdict.BAD}
        self.assertEqual(bad, {"LF . LF", "LF . CRLF", "CRLF . LF"})
        self.assertEqual(set(found.values()), {Verdict.BAD, Verdict.GOOD})
        safe = self.probe(ToySMTP(self.context()), smuggles=True)
        self.assertEqual({one.verdict for one in safe.findings if "smuggling" in one.check}, {Verdict.GOOD})
        picky = ToySMTP(self.context(), ends=rb"\r?\n\.\r?\n", to_message="554 5.7.1 spam")
        refused = self.finding(self.probe(picky, smuggles=True), "smuggling LF . LF")
        self.assertIs(refused.verdict, Verdict.BAD)
        silent = self.probe(ToySMTP(self.context()))
        self.assertEqual([one for one in silent.findings if "smuggling" in one.check], [])
