"""What the daemon and the commands do with the rights of root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import emailsys
from emailsys.cli.commands.config import problems_of
from emailsys.config.loader import embedded
from emailsys.config.server_keys import SERVICES
from emailsys.config.settings import Listen, MonitoringSettings, Settings
from emailsys.platforms.users import Identity, give_folder, is_root
from emailsys.supervisor import StartupError, check_owner, check_user, give_state_folder, privileges


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
    def test_root_does_not_stay_root_by_a_configuration_of_another_user(self) -> None:
        """That user could name any file as the mail log."""
        source = self.folder / "emailsys.toml"
        source.touch()
        check_user(replace(embedded(self.folder), source=source), None)
        shutil.chown(source, 65534)
        self.assertIn(f"run: chown root {source}", self.refused(replace(embedded(self.folder), source=source), None))

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
