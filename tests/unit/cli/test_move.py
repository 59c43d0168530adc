"""The command `move` while no daemon runs."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import stat
import unittest
from pathlib import Path

from emailsys.cli.moving.config_switch import ConfigSwitch
from emailsys.cli.options import Refused, choose_places
from emailsys.config.exit_status import Exit
from emailsys.interfaces import StoreError
from emailsys.platforms.users import give_folder, is_root
from emailsys.store.moving import target as target_of
from emailsys.store.moving.move import Move
from emailsys.supervisor import FolderLock
from tests.unit.cli.cli_case import CLICase

# A user without rights.
_NOBODY = 65534
_CONFIG = 'hostname = "mail.example.test"\n[outbound]\nenabled = false\n'


def fail_to_release(*parts: object) -> None:
    """Fail in the last step."""
    raise StoreError("the disk is full")


class MoveTests(CLICase):
    def setUp(self) -> None:
        super().setUp()
        self.config = Path(self.mktemp()).absolute()
        self.config.write_text(_CONFIG)
        self.config.chmod(0o640)
        os.environ["EMAILSYS_CONFIG"] = str(self.config)
        self.add_domain()
        self.fine("user", "add", "ann@example.test", "--password-stdin", typed=b"long-enough-1\n")
        self.target = self.state / "new.sqlite"
        self.url = f"sqlite:///{self.target}"

    def accounts(self) -> list[str]:
        return [user["address"] for user in json.loads(self.fine("user", "list", "--json"))]

    def test_the_configuration_names_the_new_store_and_the_old_one_is_closed(self) -> None:
        """The former configuration is kept. If `store.url` is set back by hand, the error says what happened."""
        out = self.fine("move", "--to", self.url)
        self.assertIn("1 account", out)
        self.assertIn(f'url = "{self.url}"', self.config.read_text())
        self.assertEqual(stat.S_IMODE(self.config.stat().st_mode), 0o640)
        kept = self.config.with_name(f"{self.config.name}.before-move")
        self.assertEqual(kept.read_text(), _CONFIG)
        self.assertEqual(self.accounts(), ["ann@example.test"])
        self.config.write_text(_CONFIG)
        self.assertIn("was moved", self.refused(Exit.NO_INPUT, "user", "list"))
        self.assertIn("was moved", self.run_it("config", "check")[2])

    def test_json_tells_what_was_moved(self) -> None:
        outcome = json.loads(self.fine("move", "--to", self.url, "--json"))
        self.assertEqual((outcome["to"], outcome["rows"]["accounts"], outcome["damaged"]), (self.url, 1, []))
        self.assertIsInstance(outcome["seconds_without_commits"], float)

    def test_references_stay_in_the_configuration(self) -> None:
        os.environ["NAME"] = "new"
        given = f"sqlite:///{self.state}/{{env:NAME}}.sqlite"
        self.fine("move", "--to", given)
        self.assertIn(given, self.config.read_text())
        self.assertEqual(self.accounts(), ["ann@example.test"])

    def test_a_refused_move_changes_nothing(self) -> None:
        os.environ["EMAILSYS_STORE__QUOTA_WARNING"] = "true"
        for status, url, why in (
            (Exit.CONFIG, "sqlite:///{env:MISSING}", "MISSING"),
            (Exit.USAGE, "mysql://db/mail", "postgresql"),
            (Exit.DATA, f"sqlite:///{self.state}/mail.sqlite", "there already"),
            (Exit.UNAVAILABLE, f"sqlite:///{self.state}/missing/new.sqlite", "missing/new.sqlite does not exist"),
        ):
            self.assertIn(why, self.refused(status, "move", "--to", url))
        sqlite3.connect(self.target).executescript("CREATE TABLE other (x); INSERT INTO other VALUES (1)")
        self.assertIn("another program", self.refused(Exit.DATA, "move", "--to", self.url))
        self.assertEqual(self.config.read_text(), _CONFIG)
        self.assertEqual([path.name for path in self.config.parent.glob(f"{self.config.name}*")], [self.config.name])
        self.assertEqual(self.accounts(), ["ann@example.test"])

    def test_a_variable_that_goes_before_the_file_is_named(self) -> None:
        os.environ["EMAILSYS_STORE__URL"] = f"sqlite:///{self.state}/mail.sqlite"
        self.assertIn("EMAILSYS_STORE__URL", self.refused(Exit.CONFIG, "move", "--to", self.url))
        self.assertIn("Set store.url", self.fine("move", "--to", self.url, "--leave-config"))
        os.environ["EMAILSYS_STORE__URL"] = self.url
        self.assertEqual(self.accounts(), ["ann@example.test"])

    def test_without_a_configuration_file_the_reader_learns_how_to_make_one(self) -> None:
        del os.environ["EMAILSYS_CONFIG"]
        self.assertIn("config example", self.refused(Exit.CONFIG, "move", "--to", self.url))

    def test_a_configuration_that_cannot_have_a_second_name_is_refused_before_the_copy(self) -> None:
        """As a file that is mounted into a container: only the last step would show that."""

        def link(*names: object) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        patched = self.patch(os, "link", link)
        self.assertIn("--leave-config", self.refused(Exit.NO_PERMISSION, "move", "--to", self.url))
        patched.restore()
        self.assertFalse(self.target.exists())
        self.assertEqual([path.name for path in self.config.parent.glob(f"{self.config.name}*")], [self.config.name])

    def test_requests_to_end_leave_nothing_behind(self) -> None:
        """No triggers in the store, and no draft of the configuration."""
        for number in [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]:
            # Under nohup, SIGHUP is ignored, and stays so.
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_DFL))
            self.patch(Move, "approach", lambda move, number=number: signal.raise_signal(number))
            self.assertEqual(self.run_it("move", "--to", self.url)[0], Exit.INTERRUPTED)
            store = sqlite3.connect(self.state / "mail.sqlite")
            self.assertEqual(store.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall(), [])
            store.close()
            names = [path.name for path in self.config.parent.glob(f"{self.config.name}*")]
            self.assertEqual(names, [self.config.name])
        self.assertEqual(self.accounts(), ["ann@example.test"])

    def test_a_move_that_fails_leaves_no_file(self) -> None:
        """Part of the mail in a forgotten file helps nobody. A file that was there before stays."""

        def fail(move: Move) -> None:
            raise StoreError("the disk is full")

        patched = self.patch(Move, "approach", fail)
        self.assertIn("the disk is full", self.refused(Exit.UNAVAILABLE, "move", "--to", self.url))
        self.assertEqual(list(self.state.glob("new.sqlite*")), [])
        self.target.touch()
        self.refused(Exit.UNAVAILABLE, "move", "--to", self.url)
        self.assertTrue(self.target.exists())
        self.target.unlink()
        patched.restore()
        self.patch(target_of, "release", fail_to_release)
        self.refused(Exit.UNAVAILABLE, "move", "--to", self.url)
        self.assertTrue(self.target.exists(), "the former store has ended already")

    def test_a_password_on_the_command_line_is_noted(self) -> None:
        """Other users may see it in the list of processes."""
        secret = self.config.with_name(f"{self.config.name}.secret")
        secret.write_text("xyzzy")
        for url, is_seen in (
            ("postgresql://u:xyzzy@127.0.0.1:1/mail", True),
            ("postgresql://u@127.0.0.1:1/mail?password=xyzzy", True),
            (f"postgresql://u:{{file:{secret}}}@127.0.0.1:1/mail", False),
            ("postgresql://u@127.0.0.1:1/mail", False),
        ):
            said = self.refused(Exit.UNAVAILABLE, "move", "--to", url)
            self.assertEqual("which other users of this machine may see" in said, is_seen, said)
            self.assertNotIn("xyzzy", said)

    def test_if_the_configuration_cannot_be_replaced_after_all_the_reader_learns_what_to_do(self) -> None:
        kept = self.config.with_name(f"{self.config.name}.before-move")
        kept.mkdir()
        self.assertIn("the store was moved, but", self.refused(Exit.CONFIG, "move", "--to", self.url))
        self.assertEqual(self.config.read_text(), _CONFIG)
        kept.rmdir()
        self.assertIn("had copied everything", self.fine("move", "--to", self.url))
        self.assertEqual(self.accounts(), ["ann@example.test"])

    def test_what_is_edited_in_the_configuration_during_the_copy_stays_there(self) -> None:
        copy = Move.copy

        def edited(move: Move) -> None:
            copy(move)
            self.config.write_text(f"{_CONFIG}# edited\n")

        self.patch(Move, "copy", edited)
        self.fine("move", "--to", self.url)
        self.assertIn("# edited", self.config.read_text())
        self.assertEqual(self.accounts(), ["ann@example.test"])

    @unittest.skipUnless(is_root(), "only root can become another user")
    def test_a_configuration_that_the_user_of_the_daemon_cannot_read_is_refused(self) -> None:
        """Otherwise no process could serve after the last step."""
        give_folder(self.state, _NOBODY, _NOBODY)
        switch = ConfigSwitch.prepare(choose_places(str(self.state), str(self.config)), self.url, self.url)
        self.addCleanup(switch.discard)
        switch.check_for_daemon(self.config.parent)
        switch.draft.chmod(0o600)
        error = self.assertRaises(Refused, switch.check_for_daemon, self.state)
        self.assertIn(f"{self.config}: cannot be read", error.message)

    def test_two_moves_do_not_run_at_once(self) -> None:
        lock = FolderLock.take(self.state, "move.lock")
        self.addCleanup(lock.release)
        self.assertIn("already runs there", self.refused(Exit.UNAVAILABLE, "move", "--to", self.url))

    def test_a_move_that_was_killed_before_the_configuration_changed_is_finished_by_the_next(self) -> None:
        patched = self.patch(target_of, "release", _killed)
        self.assertEqual(self.run_it("move", "--to", self.url)[0], Exit.INTERRUPTED)
        patched.restore()
        self.assertIn("was moved", self.refused(Exit.NO_INPUT, "user", "list"))
        self.assertIn("had copied everything", self.fine("move", "--to", self.url))
        self.assertEqual(self.accounts(), ["ann@example.test"])


def _killed(*parts: object) -> None:
    raise KeyboardInterrupt
