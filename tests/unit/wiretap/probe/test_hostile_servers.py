"""Servers that stall, lie, flood or close: the probe ends in time, with a verdict."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import cycle

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.probe.text import report_text
from emailsys.wiretap.probe.detection import detected
from emailsys.wiretap.probe.examination import Wishes, examine
from emailsys.wiretap.probe.limits import Deadline, Failure, ProbeError
from emailsys.wiretap.probe.report import Report
from emailsys.wiretap.probe.target import Protocol, Target
from emailsys.wiretap.tls.anchors import Anchors
from emailsys.wiretap.verdict import Verdict
from tests.fakes.net.toy_server import Behaviour, ToyServer

# Seconds for a whole probe and for one answer: for servers that let it wait, and for those that do not.
SHORT, LONG = (0.8, 0.15), (60.0, 30.0)
EHLO = b"250-toy\r\n250 STARTTLS\r\n"
# A ServerHello of TLS 1.2 with a suite that nobody offered.
LIE = bytes.fromhex("160303002a 02000026 0303") + b"r" * 32 + bytes.fromhex("00 eeee 00")


def says(*parts: bytes) -> Behaviour:
    """A server that says the first part, and another one after each line of the client; then it hangs up."""

    def behave(connection: socket.socket) -> None:
        for number, part in enumerate(parts):
            if number:
                connection.recv(4096)
            connection.sendall(part)

    return behave


class HostileServerTests(SynchronousTestCase):
    """Each server is probed with short limits."""

    def serve(self, behaviour: Behaviour) -> ToyServer:
        """A server for this test."""
        server = ToyServer(behaviour)
        self.addCleanup(server.close)
        return server

    def deadline(self, limits: tuple[float, float]) -> Deadline:
        """A deadline that does not wait for servers that refuse."""
        return Deadline(limits[0], answer=limits[1], pauses=(0.01, 0.01))

    def probe(
        self, behaviour: Behaviour, protocol: Protocol = Protocol.SMTP, limits: tuple[float, float] = LONG
    ) -> Report:
        """The report, whose texts can be shown, and which came in time."""
        server = self.serve(behaviour)
        target = Target("localhost", server.port, protocol, ("127.0.0.1",), "localhost")
        began = time.monotonic()
        report = examine(target, self.deadline(limits), Wishes(Anchors()), lambda words: None)
        # The machine may be busy: what counts is that it does not wait for the server.
        self.assertLess(time.monotonic() - began, limits[0] + 10)
        shown = report_text(report)
        self.assertTrue(all(line.isprintable() for line in shown.replace("\x1b[", "").split("\n")), shown)
        json.dumps(report.to_json())
        self.assertNotIn(report.verdict, (Verdict.GOOD, Verdict.NOTE))
        return report

    def forever(self, octets: Iterator[bytes], *before: bytes) -> Behaviour:
        """A server that says something without an end."""

        def behave(connection: socket.socket) -> None:
            for part in before:
                connection.sendall(part)
                connection.recv(4096)
            for piece in octets:
                connection.sendall(piece)

        return behave

    def test_silence_at_each_point(self) -> None:
        """It accepts the connection and says no more."""
        for parts in ((), (b"220 toy\r\n",), (b"220 toy\r\n", EHLO), (b"220 toy\r\n", EHLO, b"220 go\r\n")):

            def behave(connection: socket.socket, parts: tuple[bytes, ...] = parts) -> None:
                says(*parts)(connection)
                # Until the client gives up.
                while connection.recv(4096):
                    pass

            self.assertFalse(self.probe(behave, limits=SHORT).is_complete)

    def test_half_a_line_and_single_octets(self) -> None:
        """Each octet comes in time; the answer does not."""
        is_over = threading.Event()
        self.addCleanup(is_over.set)

        def drip(connection: socket.socket) -> None:
            while not is_over.wait(0.02):
                connection.sendall(b"2")

        self.assertIn("did not answer in time", self.probe(drip, limits=(LONG[0], 0.3)).error)

    def test_closing_at_each_point(self) -> None:
        """It hangs up."""
        greeting, go = b"220 toy\r\n", b"220 go\r\n"
        for parts in ((), (greeting,), (greeting, EHLO), (greeting, EHLO, go), (greeting, EHLO, go, LIE[:9])):
            report = self.probe(says(*parts))
            self.assertIs(report.verdict, Verdict.BAD, report.findings)

    def test_long_line(self) -> None:
        """A greeting of 10 MB without an end of line."""
        report = self.probe(says(b"220 " + b"x" * 10_000_000 + b"\r\n"))
        self.assertIn("more than 4,096 octets", report.error)
        self.assertIs(report.verdict, Verdict.BAD)

    def test_floods(self) -> None:
        """Lines without an end in a greeting, an answer, a handshake, and instead of one."""
        lines, records = cycle([b"220-again\r\n" * 100]), cycle([bytes.fromhex("1603030004 00000000") * 100])
        more = cycle([b"250-again\r\n" * 100])
        alerts = cycle([bytes.fromhex("1503030002 0170") * 100])
        started = (b"220 toy\r\n", EHLO, b"220 go\r\n")
        for behaviour in (
            self.forever(lines),
            self.forever(more, b"220 toy\r\n"),
            self.forever(records, *started),
            self.forever(alerts, *started),
            self.forever(cycle([b"x" * 4096]), *started),
        ):
            report = self.probe(behaviour)
            self.assertIs(report.verdict, Verdict.BAD, report.findings)

    def test_long_extensions(self) -> None:
        """The meaning of each stands below it, not beside it: the text for the terminal does not grow."""
        extensions = b"250-" + b"X" * 900 + b"\r\n"
        report = self.probe(says(b"220 toy\r\n", extensions * 100 + b"250 DONE\r\n"))
        assert report.clear is not None
        self.assertEqual(len(report.clear.extensions), 100)
        self.assertLess(len(report_text(report)), 200_000)

    def test_lies(self) -> None:
        """No mail server, a hello that nobody asked for, STARTTLS without TLS, an alert."""
        started = (b"220 toy\r\n", EHLO, b"220 go\r\n")
        for behaviour in (
            says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            says(b"\x00\xff\x1b[2J\x07" * 20 + b"\r\n"),
            says(*started, LIE),
            says(*started, b"500 no TLS here\r\n"),
            says(*started, bytes.fromhex("1503030002 0228")),
        ):
            self.assertIs(self.probe(behaviour).verdict, Verdict.BAD)

    def test_refusals(self) -> None:
        """A server that does not want to talk is no fault of TLS; the report says what it said."""
        for words in (b"421 4.7.0 too many connections\r\n", b"554 5.7.1 go away\r\n"):
            report = self.probe(says(words))
            self.assertIn(words.decode().strip(), report.error)
            self.assertIs(report.verdict, Verdict.UNTESTED)
        self.assertIn("454", self.probe(says(b"220 toy\r\n", EHLO, b"454 4.7.0 not now\r\n")).error)

    def test_implicit_tls_and_pop3(self) -> None:
        """Ports where TLS begins at once, and the other protocol."""
        for protocol in (Protocol.POP3S, Protocol.SUBMISSIONS, Protocol.POP3):
            self.probe(says(b"-ERR no\r\n"), protocol)
            self.probe(self.forever(cycle([b"+OK " + b"y" * 4096])), protocol)

    def test_nobody_listens(self) -> None:
        """The port is closed."""
        server = ToyServer(says())
        server.close()
        target = Target("localhost", server.port, Protocol.SMTP, ("127.0.0.1",), "localhost")
        report = examine(target, self.deadline(LONG), Wishes(Anchors()), lambda words: None)
        self.assertFalse(report.was_reached)
        self.assertIn("No connection to localhost", report.error)

    def test_detection(self) -> None:
        """Greetings tell the protocol; garbage and silence end in time."""
        for greeting, expected in ((b"+OK hello\r\n", Protocol.POP3), (b"220 toy\r\n", Protocol.SMTP)):
            server = self.serve(says(greeting))
            target = Target("localhost", server.port, Protocol.SMTP, ("127.0.0.1",), "localhost")
            self.assertIs(detected(target, self.deadline(LONG)).protocol, expected)
        for behaviour, limits in (
            (says(b"* OK IMAP4rev1\r\n"), LONG),
            (lambda connection: connection.recv(4096) and None, (LONG[0], 0.3)),
        ):
            server = self.serve(behaviour)
            target = Target("localhost", server.port, Protocol.SMTP, ("127.0.0.1",), "localhost")
            error = self.assertRaises(ProbeError, detected, target, self.deadline(limits))
            self.assertIn(error.failure, (Failure.MALFORMED, Failure.CLOSED, Failure.STALLED))
