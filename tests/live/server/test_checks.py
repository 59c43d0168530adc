"""Checks of a real daemon: a package installed by pip, its faults, and Debian's postgrey as policy server."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from tests.live.programs.daemon import PATIENCE, Daemon, User
from tests.live.programs.lab import wait_for
from tests.live.server.test_python_clients import fetched, reader
from tests.ports import free_ports

CHECKOUT: Final = Path(__file__).resolve().parents[3]
PACKAGE: Final = CHECKOUT / "tests" / "extension" / "checks"
PAGE: Final = CHECKOUT / "docs" / "extending.md"
POSTGREY: Final = shutil.which("postgrey", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def install(folder: Path, *packages: Path) -> dict[str, str]:
    """Install packages into a folder; the environment of a process that finds them there."""
    # pip builds beside the source.
    sources = [folder / "source" / package.name for package in packages]
    for package, source in zip(packages, sources, strict=True):
        shutil.copytree(package, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    target = folder / "packages"
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), *map(str, sources)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE * len(packages))
    return {"PYTHONPATH": os.pathsep.join((str(target), str(CHECKOUT)))}


def send(daemon: Daemon, user: User, subject: str, sender: str = "carol@elsewhere.example") -> tuple[int, str]:
    """Send a message as another system does; the code and the text of the last reply."""
    text = f"From: <{sender}>\r\nSubject: {subject}\r\n\r\nhello\r\n"
    with smtplib.SMTP("127.0.0.1", daemon.ports["smtp"], timeout=PATIENCE) as client:
        client.ehlo("client.elsewhere.example")
        code, said = client.mail(sender)
        if code == 250:
            code, said = client.rcpt(user.address)
        if code == 250:
            code, said = client.data(text)
        return code, said.decode()


def inbox(daemon: Daemon, user: User) -> list[str]:
    """The messages of a user, the oldest first."""
    session = reader(daemon, user)
    try:
        return [fetched(session, number + 1).decode() for number in range(session.stat()[0])]
    finally:
        session.quit()


class PackageTests(SynchronousTestCase):
    """The example of docs/extending.md, and a plugin with faults, as packages of somebody else."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-checks-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_the_example_of_the_page_checks_mail_and_faults_of_a_plugin_end_nothing(self) -> None:
        example = (PACKAGE / "example_checks.py").read_text("utf-8")
        self.assertLessEqual(example.count("\n"), 40)
        self.assertIn(f"```python\n{example}```\n", PAGE.read_text("utf-8"))

        names = '["plugin:words:lottery", "plugin:dropin:casino", "plugin:faulty"]'
        config = f'[checks]\nreceive = {names}\ndeadline = "1s"\n'
        daemon = Daemon(config, environment=install(self.folder, PACKAGE))
        self.addCleanup(daemon.close)
        alice = daemon.user("alice")
        self.assertEqual(send(daemon, alice, "a LOTTERY for you"), (550, "5.7.1 no mail about lottery, please"))
        self.assertEqual(send(daemon, alice, "the casino"), (550, "5.7.1 no mail about casino, please"))
        for fault in ("raises", "stalls"):
            self.assertEqual(send(daemon, alice, "hello", f"{fault}@elsewhere.example")[0], 451)
        self.assertEqual(send(daemon, alice, "hello", "blocks@elsewhere.example")[0], 250)
        self.assertEqual(send(daemon, alice, "hello")[0], 250)

        first, second = inbox(daemon, alice)
        # Each of the two checks has counted: trace field, From, Subject, the empty line, the body.
        self.assertRegex(second, r"^Return-Path: .*\r\n(.*\r\n)*X-Lines: \d+\r\nX-Lines: \d+\r\nReceived: ")
        self.assertIn("blocks@elsewhere.example", first)
        log = daemon.log
        self.assertEqual(log.count("RuntimeError: a fault of the plugin"), 1)
        self.assertRegex(log, r"check-blocked check=faulty seconds=\d")
        self.assertRegex(log, r"check-late .*check=faulty at=sender")

    def test_a_plugin_that_cannot_be_loaded_stops_the_start(self) -> None:
        environment = {**os.environ, **install(self.folder, PACKAGE)}
        for name, why in (
            ("plugin:broken", "AttributeError: .*Missing"),
            ("plugin:words", "ValueError: name the word, as in plugin:words:lottery"),
            ("plugin:nobody", "LookupError: no package has an entry point 'nobody'"),
            ("postfix:tcp:1", "ValueError: found 'tcp:1'; allowed: inet:HOST:PORT or unix:/PATH"),
            ("other:x", "LookupError: there is no such kind"),
        ):
            config = self.folder / "emailsys.toml"
            config.write_text(f'hostname = "localhost"\n[listen]\n{self.no_ports()}[checks]\nsubmission = ["{name}"]\n')
            command = [sys.executable, "-m", "emailsys", "serve", "--config", str(config)]
            done = subprocess.run(
                [*command, "--state", str(self.folder / "state")],
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            self.assertEqual(done.returncode, Exit.CONFIG, done.stderr)
            self.assertRegex(done.stderr, f"{config}: checks.submission: the check '{name}' cannot be loaded: {why}")
            self.assertNotIn("Traceback", done.stderr)

    def no_ports(self) -> str:
        return "".join(f"{name} = []\n" for name in ("submission", "submissions", "pop3", "pop3s")) + (
            'smtp = ["127.0.0.1:0"]\n'
        )


@unittest.skipIf(POSTGREY is None, "needs postgrey, which is not installed")
class PostgreyTests(SynchronousTestCase):
    """Greylisting: what was seen for the first time has to come again."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-postgrey-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.port,) = free_ports(1)
        self.postgrey = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start postgrey as the user of this process."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        assert POSTGREY is not None
        empty = self.folder / "empty"
        empty.touch()
        command = [POSTGREY, f"--inet=127.0.0.1:{self.port}", f"--dbdir={self.folder}", "--delay=1"]
        command += [f"--user={self.folder.owner()}", f"--group={self.folder.group()}"]
        command += [f"--whitelist-clients={empty}", f"--whitelist-recipients={empty}"]
        postgrey = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, postgrey)
        return postgrey

    def end(self, postgrey: subprocess.Popen[bytes]) -> None:
        postgrey.kill()
        postgrey.wait(PATIENCE)

    def test_postgrey_delays_mail_once_and_none_is_lost_while_it_is_away(self) -> None:
        daemon = Daemon(f'[checks]\nreceive = ["postfix:inet:127.0.0.1:{self.port}"]\ndeadline = "5s"\n')
        self.addCleanup(daemon.close)
        alice = daemon.user("alice")
        # It may still be starting: then the mail is delayed, too.
        _, text = wait_for(lambda: answer if (answer := send(daemon, alice, "one"))[0] == 450 else None)
        self.assertRegex(text, r"^4\.\d\.\d .*[Gg]reylist")
        wait_for(lambda: send(daemon, alice, "one")[0] == 250)
        (message,) = inbox(daemon, alice)
        self.assertRegex(message, r"\r\nX-Greylist: delayed \d+ seconds by postgrey.*\r\nReceived: ")
        # It dies with an open connection, and comes back.
        self.end(self.postgrey)
        self.assertEqual(send(daemon, alice, "two")[0], 451)
        self.assertRegex(daemon.log, r"check-failed .*check=postfix at=recipient why='the policy server gave no answer")
        self.postgrey = self.start()
        wait_for(lambda: send(daemon, alice, "three")[0] == 250)
        self.assertEqual(len(inbox(daemon, alice)), 2)
