"""The probe, `openssl s_client` and testssl.sh on the same servers: ours, Postfix, Exim, Dovecot."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
import threading
import unittest
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextlib import suppress as ignoring
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.wiretap.conversation import Direction, Kind, Role
from emailsys.wiretap.tls.observer import TLSObserver
from tests.fakes.net.toy_server import ToyServer
from tests.live.programs import dovecot, exim, postfix
from tests.live.programs.daemon import BIN, shared
from tests.live.programs.installed import REAL_CLOCK, needs, run

reactor: Any = _reactor
# Names of OpenSSL's program for versions, and those of the probe.
VERSIONS = {"TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
# Names of testssl.sh for versions.
TESTSSL_VERSIONS = {
    "SSLv3": "SSL 3",
    "TLS 1": "TLS 1.0",
    "TLS 1.1": "TLS 1.1",
    "TLS 1.2": "TLS 1.2",
    "TLS 1.3": "TLS 1.3",
}
GROUPS = {"X25519": "X25519", "ECDH, prime256v1": "secp256r1", "ECDH, P-256": "secp256r1"}
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# What comes before TLS: the reply to STARTTLS or STLS.
READY = re.compile(rb"\r\n(?:220|\+OK)[^\r\n]*\r\n(?=\x16\x03)")


class Recording:
    """Passes connections on to a port, and keeps what went through."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.pieces: list[tuple[Direction, bytes]] = []

    def __call__(self, connection: socket.socket) -> None:
        """Serve one client to its end."""
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._pass, args=(server, connection, Direction.IN), daemon=True)
            back.start()
            self._pass(connection, server, Direction.OUT)
            back.join(10)

    def _pass(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        with ignoring(OSError):
            while octets := source.recv(65536):
                self.pieces.append((direction, octets))
                sink.sendall(octets)
        with ignoring(OSError):
            sink.shutdown(socket.SHUT_WR)

    def tls(self, starts: bool) -> list[tuple[Direction, bytes]]:
        """What went through since TLS began."""
        if not starts:
            return self.pieces
        sent, received = (
            b"".join(octets for way, octets in self.pieces if way is direction)
            for direction in (Direction.OUT, Direction.IN)
        )
        ready = READY.search(received)
        assert ready is not None, received
        command = b"STARTTLS\r\n" if b"STARTTLS\r\n" in sent else b"STLS\r\n"
        skipped = {Direction.OUT: sent.index(command) + len(command), Direction.IN: ready.end()}
        found = []
        for direction, octets in self.pieces:
            left = octets[skipped[direction] :]
            skipped[direction] = max(0, skipped[direction] - len(octets))
            found.append((direction, left))
        return found


class Case(TestCase):
    """What each server must show."""

    timeout = 120

    def s_client(self, port: int, starts: str, *options: str, status: int | None = 0) -> str:
        """What s_client says of a handshake."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", *options]
        command += ["-starttls", starts] if starts else []
        return run(command, stdin=b"QUIT\r\n", status=status).stdout.decode("utf-8", "replace")

    def probed(self, port: int, protocol: str, ca: Path) -> Mapping[str, Any]:
        """The report of the command."""
        command = [
            str(BIN / "emailsys"),
            "probe",
            f"localhost:{port}",
            "--protocol",
            protocol,
            "--ca",
            str(ca),
            "--json",
        ]
        found: Mapping[str, Any] = json.loads(run(command, status=None).stdout)
        return found

    def compare_same_handshake(self, port: int, starts: str, *options: str) -> None:
        """An observer of the octets says of a handshake what s_client says."""
        recording = Recording(port)
        relay = ToyServer(recording)
        self.addCleanup(relay.close)
        keys = Path(self.mktemp()).absolute()
        text = self.s_client(relay.port, starts, "-showcerts", "-keylogfile", str(keys), *options)
        observer = TLSObserver(Role.CLIENT)
        for line in keys.read_bytes().splitlines():
            observer.key_log(line)
        events = []
        for direction, octets in recording.tls(bool(starts)):
            events += observer.feed(direction, octets, 0.0)
        handshake = observer.handshake
        agreed = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", text)
        group = re.search(r"Server Temp Key: (.*), \d+ bits", text)
        assert agreed is not None, text
        assert group is not None, text
        self.assertEqual((handshake.version, handshake.suite.openssl), (VERSIONS[agreed[1]], agreed[2]))
        self.assertEqual(handshake.group, GROUPS[group[1]])
        self.assertIn("Peer signing digest: SHA256", text)
        self.assertIn("sha256", handshake.signature)
        self.assertEqual(
            [_pem(der) for der in handshake.certificates], CERTIFICATE.findall(text)[: len(handshake.certificates)]
        )
        self.assertTrue(handshake.certificates)
        self.assertEqual(len(handshake.certificates), len(set(CERTIFICATE.findall(text))))
        self.assertIn(Kind.SECURED, [event.kind for event in events])

    def compare_suites(self, port: int, starts: str, report: Mapping[str, Any], step: int = 1) -> None:
        """s_client, which offers one suite of TLS 1.2 at a time, gets a handshake with just those of the report."""
        level = "@SECLEVEL=0"
        listed = run(["openssl", "ciphers", "-s", "-tls1_2", f"ALL:COMPLEMENTOFALL:{level}"]).stdout.decode().strip()
        names = [name for name in listed.split(":") if not name.startswith("TLS_")]
        self.assertGreater(len(names), 50)
        if step > 1:
            # Those of the report, and some of the others: each takes a tenth of a second.
            names = [name for at, name in enumerate(names) if at % step == 0 or name in report["versions"]["TLS 1.2"]]

        def is_accepted(name: str) -> bool:
            text = self.s_client(port, starts, "-tls1_2", "-cipher", f"{name}:{level}", status=None)
            return f"Cipher is {name}\n" in text

        with ThreadPoolExecutor(2) as threads:
            accepted = {name for name, is_it in zip(names, threads.map(is_accepted, names), strict=True) if is_it}
        self.assertEqual(accepted, set(report["versions"]["TLS 1.2"]) & set(names))
        self.assertTrue(accepted)

    @contextmanager
    def compare_testssl(self, port: int, starts: str) -> Iterator[dict[str, Mapping[str, Any]]]:
        """Run testssl.sh beside the other comparisons: it finds the versions of the report that is put under "report".

        It takes half a minute, most of which it waits.
        """
        options = ["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "min", "-p"]
        options += ["-t", starts] if starts else []
        made: dict[str, Mapping[str, Any]] = {}
        with ThreadPoolExecutor(1) as threads:
            command = ["testssl", *options, f"localhost:{port}"]
            testssl = threads.submit(run, command, environ=REAL_CLOCK, status=None, timeout=100)
            yield made
        text = testssl.result().stdout.decode("utf-8", "replace")
        found = dict(re.findall(r"^ (SSLv3|TLS 1(?:\.\d)?) +(not offered|offered)", text, re.MULTILINE))
        self.assertEqual(found.keys(), TESTSSL_VERSIONS.keys(), text)
        for name, ours in TESTSSL_VERSIONS.items():
            self.assertEqual(found[name] == "offered", bool(made["report"]["versions"][ours]), f"{name}: {text}")

    def compare_report(self, port: int, starts: str, report: Mapping[str, Any]) -> None:
        """Version, suite and chain of a handshake of each program's own."""
        text = self.s_client(port, starts, "-showcerts")
        agreed = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", text)
        assert agreed is not None, text
        self.assertEqual(
            (report["handshake"]["version"], report["handshake"]["cipher"]), (VERSIONS[agreed[1]], agreed[2])
        )
        sent = [one["sha256"] for one in report["handshake"]["certificates"]]
        self.assertEqual(sent, [_fingerprint(pem) for pem in dict.fromkeys(CERTIFICATE.findall(text))])
        steps = {step["verdict"] for step in report["findings"] if step.get("about")}
        self.assertEqual(steps, {"good"})


def _pem(der: bytes) -> str:
    import ssl

    return ssl.DER_cert_to_PEM_cert(der).strip()


def _fingerprint(pem: str) -> str:
    import hashlib
    import ssl

    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


class OurServerTests(Case):
    """The daemon of a live test."""

    @needs("openssl", "testssl")
    def test_each_port(self) -> None:
        """All five, with STARTTLS, STLS and implicit TLS."""
        daemon = shared(type(self))
        services = {"smtp": "smtp", "submission": "smtp", "submissions": "", "pop3": "pop3", "pop3s": ""}
        report: Mapping[str, Any] = {}
        with self.compare_testssl(daemon.ports["smtp"], "smtp") as made:
            for service, starts in services.items():
                port = daemon.ports[service]
                for version in ("-tls1_3", "-tls1_2"):
                    self.compare_same_handshake(port, starts, version)
                report = made["report"] = self.probed(port, service, daemon.ca)
                self.compare_report(port, starts, report)
                self.assertEqual([report["versions"][name] for name in ("SSL 3", "TLS 1.0", "TLS 1.1")], [[], [], []])
                self.assertIn(report["verdict"], ("good", "note"))
            self.compare_suites(daemon.ports["pop3s"], "", report, 5)


class OtherServerTests(Case):
    """Postfix, Exim and Dovecot with the certificates of a development CA."""

    def certificates(self) -> tuple[Path, Path, Path]:
        """Authority, chain and key."""
        made = pki.ensure_development_ca(Path(self.mktemp()).resolve())
        return made.authority, made.certificates[-1].chain, made.certificates[-1].key

    @needs("openssl", "testssl")
    @unittest.skipIf(bool(postfix.why_not()), postfix.why_not())
    async def test_postfix(self) -> None:
        """STARTTLS, old versions, anonymous suites."""
        authority, chain, key = self.certificates()
        server = postfix.Postfix(reactor, {"good": (chain, key)})
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        await server.start()
        port = server.ports["good"]
        with self.compare_testssl(port, "smtp") as made:
            for version in ("-tls1_3", "-tls1_2"):
                self.compare_same_handshake(port, "smtp", version)
            report = made["report"] = self.probed(port, "smtp", authority)
            self.compare_report(port, "smtp", report)
            self.compare_suites(port, "smtp", report)

    @needs("openssl", "testssl")
    @unittest.skipIf(bool(exim.why_not()), exim.why_not())
    async def test_exim(self) -> None:
        """STARTTLS and implicit TLS of another TLS library, GnuTLS. It still accepts TLS 1.0."""
        authority, chain, key = self.certificates()
        server = exim.Exim(reactor, chain, key)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        self.assertIn(" Exim ", await server.start())
        report: Mapping[str, Any] = {}
        with self.compare_testssl(server.submissions, "") as made:
            for port, starts, protocol in ((server.smtp, "smtp", "smtp"), (server.submissions, "", "submissions")):
                for version in ("-tls1_3", "-tls1_2"):
                    self.compare_same_handshake(port, starts, version)
                report = made["report"] = self.probed(port, protocol, authority)
                self.compare_report(port, starts, report)
                self.assertNotIn("not known", str(report["extensions"]) + str(report["extensions_after_tls"]))
            self.compare_suites(server.submissions, "", report, 5)
        old = self.s_client(server.submissions, "", "-tls1", "-cipher", "ALL:@SECLEVEL=0", status=None)
        self.assertEqual(report["versions"]["TLS 1.0"] != [], "Protocol  : TLSv1\n" in old, old)

    @needs("openssl", "testssl")
    @unittest.skipIf(bool(dovecot.why_not()), dovecot.why_not())
    async def test_dovecot(self) -> None:
        """STLS and implicit TLS."""
        authority, chain, key = self.certificates()
        # The names of its sockets must be short.
        folder = tempfile.mkdtemp(prefix="emailsys-dovecot-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        server = dovecot.Dovecot(Path(folder) / "d", chain, key, {"bob": "bob"})
        self.addCleanup(server.stop)
        await server.start(reactor)
        report: Mapping[str, Any] = {}
        with self.compare_testssl(server.pop3, "pop3") as made:
            for port, starts, protocol in ((server.pop3, "pop3", "pop3"), (server.pop3s, "", "pop3s")):
                for version in ("-tls1_3", "-tls1_2"):
                    self.compare_same_handshake(port, starts, version)
                report = made["report"] = self.probed(port, protocol, authority)
                self.compare_report(port, starts, report)
            self.compare_suites(server.pop3s, "", report, 5)
