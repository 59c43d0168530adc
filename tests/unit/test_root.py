"""What the daemon and the commands do with the rights of root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import emailsys
from emailsys.cli.commands.config import problems_of, warnings_of_store
from emailsys.cli.options import Places
from emailsys.config import locations
from emailsys.config.exit_status import Exit
from emailsys.config.loader import embedded, load
from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.config.server_keys import SERVICES
from emailsys.config.settings import Listen, Settings
from emailsys.daemon.startup import prepare
from emailsys.platforms.users import Identity, give_folder, is_root
from emailsys.supervisor import (
    StartupError,
    check_configuration,
    check_owner,
    check_user,
    give_state_folder,
    privileges,
)


@unittest.skipIf(sys.platform == "win32", "needs Unix")
class RootTests(SynchronousTestCase):
    """What root may do as a daemon, and in a folder that another user can change."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def refused(self, *arguments: Any) -> str:
        return str(self.assertRaises(StartupError, check_user, *arguments))

    def test_root_without_a_user_is_told_what_to_write(self) -> None:
        """A mail system that the world reaches must not have the rights of root."""
        self.patch(privileges, "is_root", lambda: True)
        public = Settings("mx.example.test", self.folder, smtp_listen=Listen((("*", 25),)))
        told = self.refused(public, None)
        self.assertIn('Write user = "emailsys" at the beginning of /etc/emailsys/emailsys.toml', told)
        self.assertIn("useradd --system", told)
        metrics = MonitoringSettings(metrics_listen=(("192.0.2.1", 9725),))
        self.assertIn("user: not set", self.refused(replace(embedded(self.folder), monitoring=metrics), None))
        check_user(public, Identity(7, 7, (7,), "emailsys"))
        check_user(public, Identity(0, 0, (0,), "root"))

    def test_on_loopback_root_needs_no_user(self) -> None:
        """Development: the embedded default, and any address of loopback."""
        self.patch(privileges, "is_root", lambda: True)
        check_user(embedded(self.folder), None)
        check_user(Settings("x", self.folder, pop3_listen=Listen((("127.0.0.9", 110), ("::1", 110)))), None)

    def test_other_users_need_no_user(self) -> None:
        """systemd starts the daemon as its user."""
        self.patch(privileges, "is_root", lambda: False)
        check_user(Settings("x", self.folder, smtp_listen=Listen((("*", 25),))), None)

    @unittest.skipUnless(is_root(), "only root can give a file away")
    def test_root_reads_no_configuration_that_another_user_can_change(self) -> None:
        """That user, such as the daemon's in its state folder, could name any file as key, password or mail log."""
        source = self.folder / "emailsys.toml"
        source.write_text('[[routing.routes]]\nhost = "smart.example"\npassword_file = "/etc/shadow"\n')
        source.chmod(0o644)

        def refused() -> str:
            return str(self.assertRaises(StartupError, load, source, self.folder, check_configuration))

        for owner, group, mode in ((0, 65534, 0o664), (0, 0, 0o666)):
            shutil.chown(source, owner, group)
            source.chmod(mode)
            told = refused()
            self.assertIn("can be changed by other users, and root would read keys and passwords by it", told)
            self.assertIn(f"run: chmod go-w {source}", told)
        source.chmod(0o644)
        shutil.chown(source, 65534, 65534)
        self.assertIn(
            f"Read the file first: if every line is yours, run: chown root {source}; otherwise remove it", refused()
        )
        # A link that the user planted does not help.
        link = self.folder / "link.toml"
        link.symlink_to(source)
        self.assertIn(
            "who may change it", str(self.assertRaises(StartupError, load, link, self.folder, check_configuration))
        )
        source.write_text('hostname = "mx.example"\n')
        for owner, group, mode in ((0, 0, 0o664), (0, 65534, 0o640)):
            shutil.chown(source, owner, group)
            source.chmod(mode)
            self.assertEqual(load(source, self.folder, check_configuration).hostname, "mx.example")
        shutil.chown(source, 65534, 65534)
        self.patch(privileges, "is_root", lambda: False)
        self.assertEqual(load(source, self.folder, check_configuration).hostname, "mx.example")

    @unittest.skipUnless(is_root(), "only root can give a file away")
    def test_the_daemon_of_root_does_not_start_by_a_configuration_of_its_user(self) -> None:
        source = self.folder / "emailsys.toml"
        source.write_text('hostname = "mx.example"\n')
        shutil.chown(source, 65534, 65534)
        self.patch(locations, "SYSTEM_CONFIG", self.folder / "none.toml")
        if sys.platform != "win32":
            self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        error = self.assertRaises(StartupError, prepare, str(self.folder), None)
        self.assertIn("belongs to nobody, who may change it", str(error))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["emailsys.toml"])

    @unittest.skipUnless(is_root(), "only root can give a file away")
    def test_commands_of_root_refuse_what_the_daemon_of_root_refuses(self) -> None:
        """`config check` must not say ok for a file by which the daemon does not start."""
        source = self.folder / "emailsys.toml"
        source.write_text('hostname = "mx.example"\n')
        shutil.chown(source, 65534, 65534)
        folder = str(self.folder / "state")
        for command in (("check", str(source)), ("show", "--config", str(source))):
            ended = subprocess.run(
                [sys.executable, "-m", "emailsys", "config", *command, "--state", folder],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual((ended.returncode, ended.stdout), (int(Exit.CONFIG), ""))
            self.assertIn(f"{source}: belongs to nobody, who may change it", ended.stderr)

    @unittest.skipUnless(is_root(), "only root can give a folder away")
    def test_a_folder_of_a_third_user_is_refused(self) -> None:
        """`--state /home/alice` is a mistake, and would give all of it to the daemon."""
        shutil.chown(self.folder, 12345, 12345)
        somebody = Identity(7, 7, (7,), "emailsys")
        told = str(self.assertRaises(StartupError, give_state_folder, somebody, self.folder))
        self.assertIn(f"belongs to user 12345; allowed: root or emailsys; run: chown -R emailsys {self.folder}", told)
        self.assertRaises(StartupError, give_state_folder, None, self.folder)
        self.assertRaises(StartupError, check_owner, self.folder)
        settings = replace(embedded(self.folder), user="nobody")
        self.assertIn("run: chown -R nobody", "".join(problems_of(settings)))
        self.assertEqual(self.folder.stat().st_uid, 12345)

    @unittest.skipUnless(is_root(), "only root can give a file away")
    def test_a_file_from_elsewhere_is_not_given_whose_link_is_removed_in_time(self) -> None:
        """The count of links alone is 1 again when root looks."""
        other = self.folder / "other"
        other.touch()
        given = self.folder / "given"
        given.mkdir()
        (given / "link").hardlink_to(other)
        really = os.fstat

        def unlink_first(descriptor: int) -> os.stat_result:
            (given / "link").unlink(missing_ok=True)
            return really(descriptor)

        self.patch(os, "fstat", unlink_first)
        give_folder(given, 65534, 65534)
        self.assertEqual(other.stat().st_uid, 0)

    @unittest.skipUnless(is_root(), "only root can become somebody else")
    def test_links_that_the_user_planted_lead_root_nowhere(self) -> None:
        """At the start of the daemon, and in commands that work without it."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        target = folder / "target"
        target.mkdir(mode=0o700)
        config = folder / "emailsys.toml"
        config.write_text('user = "nobody"\n[listen]\n' + "".join(f"{name} = []\n" for name in SERVICES))
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        start = "import sys; from emailsys.daemon import service_or_exit; service_or_exit(*sys.argv[1:])"
        for link, command in (
            ("certs", ["-c", start]),
            ("mail.sqlite", ["-m", "emailsys", "init", "--state"]),
            ("certs", ["-m", "emailsys", "certs", "init", "--state"]),
        ):
            state = Path(tempfile.mkdtemp(dir=folder))
            (state / link).symlink_to(target / "made" if "." in link else target)
            shutil.chown(state, 65534, 65534)
            places = [str(state), "--config", str(config)] if "-m" in command else [str(state), str(config)]
            ended = subprocess.run(
                [sys.executable, *command, *places],
                env=environ,
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
            )
            with self.subTest(command):
                self.assertNotEqual(ended.returncode, 0)
                self.assertNotIn("Traceback", ended.stderr)
                self.assertEqual(list(target.iterdir()), [], ended.stderr)

    @unittest.skipUnless(is_root(), "only root can become somebody else")
    def test_the_check_of_root_reads_no_file_to_which_the_user_planted_a_link(self) -> None:
        """The identity of the store would be compared with the first line of any file."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        state, secret = folder / "state", folder / "secret"
        folder.chmod(0o755)
        state.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        (state / "store-identity").symlink_to(secret)
        shutil.chown(state, 65534, 65534)
        settings = embedded(state)
        where = Places(locations.StateChoice(state, "--state", False), None)
        self.assertEqual(
            list(warnings_of_store(where, settings, [])),
            [f"{state}/store-identity cannot be read: Permission denied"],
        )

    @unittest.skipUnless(is_root(), "only root can become somebody else")
    def test_a_python_that_only_root_can_read_serves_another_user(self) -> None:
        """The modules that are imported later are loaded before: a virtual environment may be in /root."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        package = Path(emailsys.__file__).parent
        hidden = folder / "hidden"
        shutil.copytree(package, hidden / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(package.parent / "certs", hidden / "certs")
        shutil.copy(package.parent / "setup.cfg", hidden)
        hidden.chmod(0o700)
        state = Path(tempfile.mkdtemp(dir=folder))
        folder.chmod(0o755)
        config = hidden / "emailsys.toml"
        config.write_text('user = "nobody"\n[listen]\n' + "".join(f"{name} = []\n" for name in SERVICES))
        code = (
            "import sys; from emailsys.daemon import service_or_exit; daemon = service_or_exit(*sys.argv[1:])\n"
            "import emailsys; print(emailsys.__file__)\n"
            # Neither is imported before.
            "import encodings.cp1006, emailsys.daemon.twistd_log\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, str(state), str(config)],
            env={**os.environ, "PYTHONPATH": str(hidden)},
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
        )
        self.assertEqual((ended.returncode, Path(ended.stdout.strip()).parents[1]), (0, hidden), ended.stderr)
