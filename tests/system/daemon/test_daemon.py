"""The daemon with real sockets and a real store in this process, from start to graceful shutdown."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest import SkipTest

import html5lib
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from emailsys.cli.tryout.command import free_ports, kept_passwords
from emailsys.cli.tryout.poster import poster
from emailsys.cli.tryout.round_trip import ALICE, BOB, RoundTrip, make_round_trip
from emailsys.config.exit_status import Exit
from emailsys.config.server_keys import SERVICES
from emailsys.control.control_socket import NoDaemon, ask
from emailsys.control.requests import DomainAdd, Request, Status, Trace, UserAdd, UserList
from emailsys.daemon import certificates as certificates_module
from emailsys.daemon import service as service_module
from emailsys.daemon import service_or_exit
from emailsys.daemon.service import Daemon
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from emailsys.pki import ensure_development_ca
from emailsys.supervisor import StartupError, holder_of
from emailsys.wiretap.conversation import Kind
from tests.system.daemon.preparing import prepared

T = TypeVar("T")


class Line:
    """A plaintext connection to a server, read and written in a thread."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10.0)
        self._input = self._socket.makefile("rb")

    def read(self) -> str:
        """Return the next line, "" at the end."""
        return self._input.readline().decode().rstrip("\r\n")

    def say(self, text: str) -> str:
        """Send a line, and return the last line of the reply."""
        self._socket.sendall(text.encode() + b"\r\n")
        while (line := self.read())[3:4] == "-":
            pass
        return line

    def close(self) -> None:
        self._input.close()
        self._socket.close()


class DaemonCase(TestCase):
    """A daemon, prepared and started as `serve` and twistd do."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.config = Path(self.mktemp()).absolute()
        free = free_ports(20_000 + os.getpid() % 1000 * 40)
        self.ports = {service: free[service] for service in SERVICES}
        listens = "".join(f'{service} = ["127.0.0.1:{port}"]\n' for service, port in self.ports.items())
        self.config.write_text(
            f'hostname = "localhost"\n[listen]\n{listens}[smtp]\nplaintext_auth_on_loopback = true\n'
            "[pop3]\nplaintext_auth_on_loopback = true\n"
        )
        umask = os.umask(0o022)
        os.umask(umask)
        self.addCleanup(os.umask, umask)
        if sys.platform != "win32":
            self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.said = io.StringIO()

    def prepared(self, background: bool = False) -> Daemon:
        with contextlib.redirect_stderr(self.said):
            return prepared(str(self.state), str(self.config), background)

    def started(self) -> Daemon:
        daemon = self.prepared()
        daemon.privilegedStartService()
        daemon.startService()
        self.addCleanup(daemon.stopService)
        return daemon

    async def away(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking function in another thread, while the daemon runs in this one."""
        result: Deferred[T] = deferToThread(call, *arguments)
        return await result

    def raw(self, request: Request) -> Any:
        """Return the whole answer to a request."""
        return ask(self.state, request)

    async def ask(self, request: Request) -> Any:
        answer = await self.away(ask, self.state, request)
        self.assertIn("result", answer)
        return answer["result"]

    async def accounts(self) -> dict[str, str]:
        passwords, _ = kept_passwords(self.state / "passwords.json")
        await self.ask(DomainAdd("example.test", Address(*ALICE.split("@"))))
        for address, password in passwords.items():
            await self.ask(UserAdd(Address(*address.split("@")), make_credentials(password)))
        return passwords


class DaemonTests(DaemonCase):
    """The life of a daemon, from start to graceful shutdown."""

    async def test_a_message_goes_round(self) -> None:
        """Submission with STARTTLS and AUTH, then POP3S: the message arrives octet for octet."""
        verifyObject(IService, self.started())
        passwords = await self.accounts()
        ca = self.state / "certs" / "ca.pem"

        def go() -> RoundTrip:
            return make_round_trip(self.ports, passwords, ca, datetime(2026, 1, 2, tzinfo=UTC))

        trip = await self.away(go)
        self.assertTrue(trip.fetched.endswith(trip.message))
        self.assertIn("Received", trip.in_front)
        self.assertIn("TLSv1.3", "".join(text for one in trip.transcripts for _, text in one.lines))
        said = "".join(text for one in trip.transcripts for _, text in one.lines)
        lives = (await self.ask(Trace(trip.queue_id, 1)))["lives"]
        page = poster(trip, lives)
        for password in passwords.values():
            for secret in (password, base64.b64encode(f"\0{ALICE}\0{password}".encode()).decode()):
                self.assertNotIn(secret, said + page)
        self.assertEqual(len(lives), 1)
        html5lib.HTMLParser(strict=True).parse(page)
        for words in ("EncryptedExtensions", "the maildrop of bob@example.test", "field.png", "arrived unchanged"):
            self.assertIn(words, page)
        for one in trip.transcripts:
            talk = one.conversation()
            messages = [event.text for event in talk.events if event.kind is Kind.TLS]
            for name in ("ClientHello", "ServerHello", "Certificate", "CertificateVerify", "Finished"):
                self.assertIn(name, messages)
            (secured,) = [event for event in talk.events if event.kind is Kind.SECURED]
            self.assertEqual((secured.details["version"], secured.details["sni"]), ("TLS 1.3", "localhost"))
            self.assertTrue(talk.closed)
        status = await self.ask(Status())
        self.assertEqual(status["counters"]["accepted"], 1)
        (row,) = [row for row in await self.ask(UserList()) if row["address"] == BOB]
        self.assertEqual((row["messages"], row["octets"]), (1, len(trip.fetched)))

    async def test_the_status_has_pid_hostname_and_listening_addresses(self) -> None:
        """`try` and operators use the status."""
        with contextlib.redirect_stderr(self.said):
            daemon = service_or_exit(str(self.state), str(self.config))
        daemon.startService()
        self.addCleanup(daemon.stopService)
        status = await self.ask(Status())
        self.assertEqual((status["pid"], status["hostname"]), (os.getpid(), "localhost"))
        self.assertEqual(status["listening"], {service: [f"127.0.0.1:{port}"] for service, port in self.ports.items()})
        self.assertEqual(holder_of(self.state), os.getpid())
        self.assertIn(f"store in {self.state} (--state)", self.said.getvalue())

    async def test_nothing_in_the_state_folder_is_open_to_others(self) -> None:
        """This includes the control socket and the keys."""
        self.started()
        await self.accounts()
        await self.ask(Status())
        for path in (self.state, *self.state.rglob("*")):
            if path.suffix != ".pem":
                self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)

    async def test_a_second_daemon_on_the_folder_is_told_the_process(self) -> None:
        """The error names the process of the first daemon, which continues to run."""
        self.started()
        with self.assertRaises(StartupError) as caught:
            self.prepared()
        self.assertIn(f"already runs there, as process {os.getpid()}", str(caught.exception))
        self.assertEqual((await self.ask(Status()))["pid"], os.getpid())

    async def test_the_end_says_goodbye_to_idle_sessions_and_leaves_nothing_behind(self) -> None:
        """Idle sessions get 421. Ports, control socket and lock are free afterwards."""
        daemon = self.started()
        line = await self.away(Line, self.ports["smtp"])
        self.addCleanup(line.close)
        self.assertTrue((await self.away(line.read)).startswith("220 "))
        await daemon.stopService()
        self.assertTrue((await self.away(line.read)).startswith("421 "))
        self.assertEqual(await self.away(line.read), "")
        self.assertFalse((self.state / "control.sock").exists())
        self.assertIsNone(holder_of(self.state))
        with self.assertRaises(NoDaemon):
            ask(self.state, Status())
        with self.assertRaises(ConnectionRefusedError):
            Line(self.ports["smtp"])
        again = self.started()
        self.assertEqual((await self.ask(Status()))["pid"], os.getpid())
        await again.stopService()

    async def test_the_end_waits_for_a_message_under_way_but_not_for_ever(self) -> None:
        """A client that stops in the middle of its message gets 421. Before, its connection was reset."""
        self.patch(service_module, "DRAIN_SECONDS", 0.2)
        daemon = self.started()
        await self.accounts()
        line = await self.away(Line, self.ports["smtp"])
        self.addCleanup(line.close)

        def begin() -> str:
            line.read()
            for command in ("EHLO localhost", "MAIL FROM:<x@example.org>", f"RCPT TO:<{BOB}>"):
                line.say(command)
            return line.say("DATA")

        self.assertTrue((await self.away(begin)).startswith("354 "))
        stopped = daemon.stopService()
        self.assertTrue((await self.away(line.read)).startswith("421 4.3.2 "))
        line.close()
        await stopped

    async def test_a_daemon_that_never_served_gives_everything_back_when_it_ends(self) -> None:
        """State folder and ports are free. Stopping a second time does nothing."""
        daemon = self.prepared()
        await daemon.stopService()
        again = self.started()
        await again.stopService()
        await again.stopService()
        self.assertIsNone(holder_of(self.state))

    async def test_renewed_certificates_are_served_without_a_restart(self) -> None:
        """They are read at SIGHUP and once a day. If new ones are invalid, the old ones stay in use."""
        daemon = self.started()
        daemon.reload()
        for path in (self.state / "certs").glob("server-*.pem"):
            path.write_text("damaged")
        (self.state / "certs" / "ca.pem").write_text("damaged")
        daemon.reload()
        counters = (await self.ask(Status()))["counters"]
        self.assertEqual((counters["certificates-reloaded"], counters["certificates-refused"]), (1, 1))
        passwords = await self.accounts()
        self.assertEqual(len(passwords), 2)

    async def test_sighup_never_ends_the_process(self) -> None:
        """During the start, which may upgrade a store, it is noted. From the beginning of the stop on it is ignored."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        daemon = self.prepared()
        signal.raise_signal(signal.SIGHUP)
        daemon.privilegedStartService()
        daemon.startService()
        self.assertEqual((await self.ask(Status()))["counters"]["certificates-reloaded"], 1)
        await daemon.stopService()
        self.assertEqual(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    async def test_an_unexpected_exception_in_one_step_of_sighup_does_not_skip_the_next(self) -> None:
        """The mail log is reopened, and changed settings are told, although the certificates cannot be read."""
        log = self.state.parent / "mail.log"
        self.config.write_text(self.config.read_text() + f'[monitoring]\nmail_log = "{log}"\n')
        daemon = self.started()

        self.patch(certificates_module.CertificateWatch, "reload", lambda _: 1 // 0)
        log.rename(log.with_name("mail.log.1"))
        self.config.write_text(self.config.read_text() + 'log_format = "json"\n')
        daemon.reload()
        self.assertIn("restart-needed settings=monitoring.log_format", log.read_text())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_one_damaged_certificate_of_two_is_left_out_at_the_start(self) -> None:
        """The daemon serves the other one and reports the damage on stderr, in the log and in the status."""
        folder = self.state.parent / "own"
        first, second = ensure_development_ca(folder).certificates
        first.key.write_text("damaged")
        pairs = "".join(f'[[tls.certificates]]\nchain = "{one.chain}"\nkey = "{one.key}"\n' for one in (first, second))
        self.config.write_text(self.config.read_text() + pairs)
        self.started()
        told = f"{first.key}: holds no private key in PEM form, or a damaged one: copy the whole file again"
        self.assertIn(f"emailsys: warning: tls.certificates: {told}\n", self.said.getvalue())
        status = await self.ask(Status())
        self.assertEqual(status["certificates"]["problems"], [told])
        self.assertEqual(status["counters"]["certificates-refused"], 1)

    async def test_port_0_is_told_in_the_status_and_in_a_file(self) -> None:
        """For tests and trials: no port is guessed. The file is there while the daemon runs, for its user alone."""
        self.config.write_text(re.sub(r"smtp = .*", 'smtp = ["127.0.0.1:0"]', self.config.read_text(), count=1))
        daemon = self.started()
        path = self.state / "listening.json"
        told = json.loads(path.read_text())
        self.assertEqual(told, {"pid": os.getpid(), "listening": (await self.ask(Status()))["listening"]})
        line = await self.away(Line, int(told["listening"]["smtp"][0].rpartition(":")[2]))
        self.assertTrue((await self.away(line.read)).startswith("220 "))
        line.close()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        await daemon.stopService()
        self.assertFalse(path.exists())

    async def test_the_postmaster_gets_mail_about_a_certificate_near_its_end(self) -> None:
        """It arrives in the maildrop of the default domain's postmaster, once."""
        folder = self.state.parent / "old"
        made_at = datetime.now(UTC) - timedelta(days=390)
        files = ensure_development_ca(folder, now=made_at).certificates[0]
        pair = f'[[tls.certificates]]\nchain = "{files.chain}"\nkey = "{files.key}"\n'
        self.config.write_text(self.config.read_text() + pair)
        daemon = self.started()
        await self.accounts()
        daemon.reload()
        while not any(row["messages"] for row in await self.ask(UserList(None))):
            pass
        await daemon.stopService()
        self.started().reload()
        rows = await self.ask(UserList(None))
        self.assertEqual({row["address"]: row["messages"] for row in rows}, {ALICE: 1, BOB: 0})

    def test_a_port_that_is_taken_is_told_and_the_folder_given_up(self) -> None:
        """The next start succeeds without a cleanup."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", self.ports["pop3"]))
            other.listen()
            with self.assertRaises(StartupError) as caught:
                self.prepared()
        where = f"{self.config}: listen.pop3: 127.0.0.1:{self.ports['pop3']}"
        said = str(caught.exception)
        self.assertTrue(said.startswith(f"{where} is already in use by "), said)
        self.assertTrue(said.endswith("; stop it, or change listen.pop3"), said)
        self.assertIsNone(holder_of(self.state))

    def test_a_control_socket_that_cannot_be_made_is_told_and_all_ports_freed(self) -> None:
        """A folder exists at the path of the socket."""
        (self.state / "control.sock").mkdir(parents=True)
        self.state.chmod(0o700)
        with self.assertRaises(StartupError) as caught:
            self.prepared()
        self.assertIn("control socket", str(caught.exception))
        self.assertIsNone(holder_of(self.state))
        with contextlib.suppress(ConnectionRefusedError):
            Line(self.ports["smtp"])
            self.fail("somebody still listens")

    def test_a_startup_error_is_one_line_and_a_status(self) -> None:
        """The process prints no traceback."""
        self.config.write_text('[smtp]\nmax_recipients = "x"\n[pop3]\nx = 1\n')
        with contextlib.redirect_stderr(self.said), self.assertRaises(SystemExit) as caught:
            service_or_exit(str(self.state), str(self.config))
        self.assertEqual(caught.exception.code, Exit.CONFIG)
        self.assertEqual(self.said.getvalue().count("\n"), 2)

    def test_a_damaged_certificate_is_told(self) -> None:
        """The error names the certificate file and the configuration file."""
        with self.config.open("a") as file:
            file.write('[[tls.certificates]]\nchain = "none.pem"\nkey = "none.key"\n')
        with self.assertRaises(StartupError) as caught:
            self.prepared()
        self.assertEqual(caught.exception.status, Exit.CONFIG)
        self.assertRegex(str(caught.exception), f"^{re.escape(str(self.config))}: tls.certificates: .*none.pem: ")

    def test_a_damaged_store_is_found_before_twistd_leaves_the_terminal(self) -> None:
        """`serve` also reports it at the start."""
        self.state.mkdir(mode=0o700)
        (self.state / "mail.sqlite").write_text("this is no database, and long enough to be looked at" * 20)
        with contextlib.redirect_stderr(self.said), self.assertRaises(StartupError) as caught:
            prepared(str(self.state), str(self.config), background=True)
        self.assertEqual(caught.exception.status, Exit.UNAVAILABLE)
        daemon = self.prepared()
        with contextlib.redirect_stderr(self.said), self.assertRaises(SystemExit) as ended:
            daemon.startService()
        self.assertEqual(ended.exception.code, Exit.UNAVAILABLE)
        self.assertIn("not a database", self.said.getvalue())
        self.assertIsNone(holder_of(self.state))
