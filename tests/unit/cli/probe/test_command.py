"""The command `probe`: exit statuses, JSON, the page, MX records, hosts of one's own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from pathlib import Path

from twisted.names import dns

from emailsys.cli.probe.mail_hosts import NoAnswer, mail_hosts
from emailsys.config.exit_status import Exit
from tests.fakes.net.toy_server import ToyServer, ToySMTP
from tests.unit.cli.cli_case import CLICase


class NameServer:
    """Answers each query over UDP with the same MX records: preference and name. None is silent."""

    def __init__(self, records: list[tuple[int, str]] | None) -> None:
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                octets, client = self._socket.recvfrom(4096)
                if not octets:
                    return
                if self._records is None:
                    continue
                message = dns.Message()
                message.fromStr(octets)
                message.answer = 1
                name = message.queries[0].name.name
                message.answers = [
                    dns.RRHeader(name, dns.MX, payload=dns.Record_MX(preference, host), ttl=60)
                    for preference, host in self._records
                ]
                self._socket.sendto(message.toStr(), client)

    def close(self) -> None:
        """Wake the thread with an empty datagram, and end it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.address)
        self._thread.join(5)
        self._socket.close()


class ProbeTests(CLICase):
    """A toy server without TLS is enough here."""

    def setUp(self) -> None:
        super().setUp()
        self.server = ToyServer(ToySMTP())
        self.addCleanup(self.server.close)
        self.host = f"127.0.0.1:{self.server.port}"

    def name_server(self, records: list[tuple[int, str]] | None) -> NameServer:
        """A name server for this test."""
        found = NameServer(records)
        self.addCleanup(found.close)
        return found

    def test_status_and_text(self) -> None:
        """No TLS is a fault: 1. The text says what to do."""
        status, out, err = self.run_it("probe", self.host, "--protocol", "smtp")
        self.assertEqual((status, err), (Exit.FAILED, ""))
        self.assertIn("STARTTLS is not offered: everything crosses the network in the clear.", out)
        self.assertIn("-> Install a certificate and switch TLS on.", out)
        self.assertIn("BAD: There are faults that attackers can use. Correct: TLS offered.", out)

    def test_json(self) -> None:
        """One document, with the conversation."""
        status, out, _ = self.run_it("probe", self.host, "--json")
        found = json.loads(out)
        self.assertEqual((status, found["verdict"], found["protocol"]), (Exit.FAILED, "bad", "smtp"))
        self.assertEqual(found["greeting"], "220 toy ESMTP")
        self.assertEqual(found["conversation"]["events"][1]["text"], "220 toy ESMTP")
        self.assertEqual([one["line"] for one in found["extensions"]], ["8BITMIME"])

    def test_page(self) -> None:
        """Everything in one file."""
        path = Path(self.mktemp()).absolute()
        status, _, _ = self.run_it("probe", self.host, "--protocol", "smtp", "--export", str(path))
        self.assertEqual(status, Exit.FAILED)
        page = path.read_text("utf-8")
        for words in ("STARTTLS is not offered", "EHLO probe.invalid", "220 toy ESMTP", "There are faults"):
            self.assertIn(words, page)

    def test_unreachable(self) -> None:
        """A closed port, and a name without address."""
        self.server.close()
        status, out, _ = self.run_it("probe", self.host, "--protocol", "smtp")
        self.assertEqual(status, Exit.UNAVAILABLE)
        self.assertIn("No connection to", out)
        self.assertIn("UNTESTED: The server could not be examined.", out)
        self.refused(Exit.UNAVAILABLE, "probe", "nobody.invalid:25", "--timeout", "2")

    def test_wrong_arguments(self) -> None:
        """Each is refused before anything is sent."""
        for arguments in (
            ("a b",),
            ("mx.example.org:99999",),
            (self.host, "--recipient", "no address"),
            (self.host, "--name", "-\x1b"),
            (self.host, "--timeout", "0"),
        ):
            self.refused(Exit.USAGE, "probe", *arguments)
        empty = Path(self.mktemp())
        empty.write_text("no certificate")
        self.refused(Exit.CONFIG, "probe", self.host, "--ca", str(empty))
        self.assertEqual(self.server.connections, 0)

    def test_mail_hosts(self) -> None:
        """By preference; RFC 7505; no records; no answer."""
        server = self.name_server([(20, "b.example"), (10, "A.example")])
        self.assertEqual(mail_hosts("example", [server.address], 5), ["a.example", "b.example"])
        self.assertEqual(mail_hosts("example", [self.name_server([]).address], 5), [])
        for records, words in (([(0, "")], "accepts no mail"), (None, "no answer")):
            error = self.assertRaises(NoAnswer, mail_hosts, "example", [self.name_server(records).address], 0.3)
            self.assertIn(words, str(error))

    def test_domain(self) -> None:
        """A domain leads to the host that takes its mail."""
        host, port = self.name_server([(10, "mx.invalid")]).address
        err = self.refused(Exit.UNAVAILABLE, "probe", "example.org", "--nameserver", f"{host}:{port}", "--timeout", "5")
        self.assertIn("example.org receives mail at mx.invalid", err)
        self.assertIn("The addresses of mx.invalid were not found", err)
        host, port = self.name_server([(0, "")]).address
        err = self.refused(Exit.UNAVAILABLE, "probe", "example.org", "--nameserver", f"{host}:{port}")
        self.assertIn("accepts no mail", err)

    def test_intrusive_only_for_own_hosts(self) -> None:
        """Beyond loopback, a file of the user's own must name the host; nothing is sent otherwise."""
        path = Path(self.mktemp()).absolute()
        # RFC 5737: nobody has this address.
        command = ("probe", "192.0.2.1:25", "--intrusive", "--hosts", str(path), "--timeout", "1")
        self.assertIn("write its name on a line", self.refused(Exit.NO_PERMISSION, *command))
        path.write_text("# mine\n192.0.2.2\n")
        self.refused(Exit.NO_PERMISSION, *command)
        path.write_text("192.0.2.1  # mine\n")
        if os.name == "posix":
            path.chmod(0o666)
            self.assertIn("chmod go-w", self.refused(Exit.NO_PERMISSION, *command))
            path.chmod(0o600)
        self.assertEqual(self.run_it(*command)[0], Exit.UNAVAILABLE)

    def test_intrusive_on_loopback(self) -> None:
        """A server without TLS gets the messages too."""
        _, out, _ = self.run_it("probe", self.host, "--protocol", "smtp", "--intrusive")
        self.assertIn("smuggling LF . LF: LF . LF does not end a message: the server takes it for text.", out)
