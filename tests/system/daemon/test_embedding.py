"""The mail system as a service of a program that is not ours."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import reactor as _reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from emailsys.config.loader import ConfigError
from emailsys.control.control_socket import ask
from emailsys.control.daemon_requests import Restart
from emailsys.control.requests import DomainAdd, Status
from emailsys.daemon import Options, makeService, reload_at_hang_up, startup
from emailsys.daemon.embedding import EmbeddedDaemon
from emailsys.mail.address import parse
from emailsys.supervisor import StartupError
from emailsys.supervisor.folder import holder_of

reactor: Any = _reactor

CONFIG = """hostname = "localhost"
[listen]
smtp = ["127.0.0.1:0"]
submission = []
submissions = []
pop3 = []
pop3s = []
"""


class EmbeddingTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.program = MultiService()
        self.program.startService()
        self.addCleanup(lambda: maybeDeferred(self.program.stopService))
        self.said = io.StringIO()

    def made(self, name: str, more: str = "") -> EmbeddedDaemon:
        """A mail system of this name in the folder of the test."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.folder / "emailsys.toml"
        config.write_text(CONFIG + more)
        options = Options()
        options.parseOptions(["--config", str(config), "--state", str(self.folder / name)])
        with contextlib.redirect_stderr(self.said):
            service = makeService(options)
        assert isinstance(service, EmbeddedDaemon)
        service.setName(name)
        return service

    async def status(self, name: str) -> Any:
        """What `emailsys status` gets."""
        return (await deferToThread(ask, self.folder / name, Status()))["result"]

    async def test_it_starts_again_and_leaves_the_process_alone(self) -> None:
        # The reactor sets its own handlers when it starts.
        await deferLater(reactor, 0)
        umask = os.umask(0o022)
        self.addCleanup(os.umask, umask)
        numbers = [signal.SIGINT, signal.SIGTERM]
        if sys.platform != "win32":
            numbers.append(signal.SIGHUP)
        frozen: list[bool] = []
        self.patch(gc, "freeze", lambda: frozen.append(True))
        before = [signal.getsignal(number) for number in numbers], gc.get_threshold()
        service = self.made("mail", '[monitoring]\nmail_log = "mail.log"\n')
        for _ in range(2):
            service.setServiceParent(self.program)
            self.assertEqual((await self.status("mail"))["hostname"], "localhost")
            await maybeDeferred(service.disownServiceParent)
            self.assertFalse(service.running)
        await maybeDeferred(service.stopService)
        self.assertEqual(([signal.getsignal(number) for number in numbers], gc.get_threshold()), before)
        self.assertEqual(frozen, [])
        self.assertEqual(os.umask(0o022), 0o022)
        files = [path for path in (self.folder / "mail.log", *(self.folder / "mail").iterdir()) if path.is_file()]
        self.assertGreater(len(files), 2)
        self.assertEqual([path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077], [])

    async def test_what_concerns_the_process_is_left_to_the_program(self) -> None:
        """No second process of it is started, and its service manager is told nothing."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(f"{folder}/notify")
        manager.setblocking(False)
        os.environ["NOTIFY_SOCKET"] = f"{folder}/notify"
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
        service = self.made("mail")
        service.setServiceParent(self.program)
        answer = await deferToThread(ask, self.folder / "mail", Restart())
        self.assertIn("restart that program", answer["result"]["problem"])
        await maybeDeferred(service.disownServiceParent)
        self.assertRaises(BlockingIOError, manager.recv, 1)

    async def test_each_mail_system_of_a_process_gets_its_sighup(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        services, folders = [], []
        for name in ("one", "two", "three"):
            services.append(self.made(name))
            folders.append(self.folder)
            services[-1].setServiceParent(self.program)
        reload_at_hang_up()
        await maybeDeferred(services.pop().disownServiceParent)
        for folder in folders:
            (folder / "emailsys.toml").write_text(CONFIG + "[queue]\nmax_deliveries = 7\n")
        signal.raise_signal(signal.SIGHUP)
        for service in services:
            while service.daemon is None or service.daemon.settings.queue.max_deliveries != 7:
                await deferLater(reactor, 0.01)

    async def test_what_is_wrong_is_raised(self) -> None:
        tls = '[[tls.certificates]]\nchain = "none.pem"\nkey = "none.key"\n'
        for more in ('[queue]\nx = 1\n[smtp]\nmax_recipients = "x"\n', tls):
            with self.assertRaises(ConfigError) as caught:
                self.made("mail", more)
            self.assertIn("emailsys.toml: ", str(caught.exception))
        first = self.made("mail")
        first.setServiceParent(self.program)
        with self.assertRaises(StartupError):
            EmbeddedDaemon(str(self.folder / "mail"), str(self.folder / "emailsys.toml"))
        await maybeDeferred(first.disownServiceParent)
        (self.folder / "mail" / "mail.sqlite").write_text("this is no database, and long enough to be looked at" * 20)
        with self.assertRaises(StartupError) as failed:
            first.startService()
        self.assertIn("not a database", str(failed.exception))
        self.assertFalse(first.running)
        self.assertEqual(self.said.getvalue().count("\n"), 0)

    async def test_a_start_that_fails_by_a_fault_of_ours_leaves_nothing_behind(self) -> None:
        """The lock is free, and so are the ports and the store, for the next start."""
        service = self.made("mail")

        def fails(*arguments: object) -> None:
            raise RuntimeError("a fault")

        await maybeDeferred(service.startService)
        await deferToThread(ask, self.folder / "mail", DomainAdd("example.org", parse("alice@example.org")))
        await maybeDeferred(service.stopService)
        for part in ("_listen", "_open_store"):
            daemon: Any = service._prepared()
            service.daemon = daemon
            self.patch(daemon, part, fails)
            stopped: list[str] = []
            self.patch(daemon._opened.logins, "stop", partial(stopped.append, "logins"))
            self.assertRaises(RuntimeError, service.startService)
            self.assertIsNone(service.daemon)
            while holder_of(self.folder / "mail") is not None:
                await deferLater(reactor, 0.01)
            self.assertEqual([one.socket.fileno() for one in daemon._opened.listeners], [-1])
            self.assertEqual(stopped, ["logins"])
        with self.assertRaises(RuntimeError):
            self.patch(startup, "load_plugins", fails)
            service.startService()
        self.assertIsNone(holder_of(self.folder / "mail"))
