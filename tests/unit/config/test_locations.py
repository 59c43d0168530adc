"""Search order for the state folder and the configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config import locations
from emailsys.config.locations import NoHome, choose_state, default_state, find_config, store_text


class StateTests(SynchronousTestCase):
    """Choice of the state folder."""

    def test_the_option_goes_before_the_environment_before_the_default(self) -> None:
        """--state, then $EMAILSYS_STATE, then this user's default."""
        environ = {"EMAILSYS_STATE": "/srv/env", "HOME": "/home/ann"}
        self.assertEqual(choose_state("/srv/option", environ, False).folder, Path("/srv/option"))
        self.assertEqual(choose_state(None, environ, False).folder, Path("/srv/env"))
        default = choose_state(None, {"HOME": "/home/ann"}, False)
        self.assertEqual(default.folder, Path("/home/ann/.local/state/emailsys"))
        self.assertTrue(default.is_default)

    def test_root_keeps_its_mail_in_var_lib(self) -> None:
        """The folder of a system daemon does not depend on a home folder."""
        self.assertEqual(default_state({"HOME": "/home/ann", "XDG_STATE_HOME": "/x"}, True), Path("/var/lib/emailsys"))

    def test_a_relative_xdg_folder_is_ignored(self) -> None:
        """The XDG base directory specification requires it."""
        self.assertEqual(default_state({"HOME": "/h", "XDG_STATE_HOME": "/x"}, False), Path("/x/emailsys"))
        self.assertEqual(default_state({"HOME": "/h", "XDG_STATE_HOME": "x"}, False), Path("/h/.local/state/emailsys"))

    def test_a_folder_that_is_not_the_default_is_known_with_its_reason(self) -> None:
        """A command can print which store it used."""
        chosen = choose_state(None, {"EMAILSYS_STATE": "/srv/env", "HOME": "/h"}, False)
        self.assertEqual((chosen.reason, chosen.is_default), ("$EMAILSYS_STATE", False))
        same = choose_state("/h/.local/state/emailsys", {"HOME": "/h"}, False)
        self.assertTrue(same.is_default)

    def test_a_store_that_is_not_the_default_is_told_without_its_password(self) -> None:
        """A database or a named folder is described; the default file is not."""
        default = choose_state(None, {"HOME": "/h"}, False)
        self.assertIsNone(store_text(default, None))
        for url, shown in (
            ("postgresql://mail:secret@db.example/mail", "postgresql://mail@db.example/mail"),
            (
                "postgresql://mail@/mail?host=/run&password=secret&x=1",
                "postgresql://mail@/mail?host=/run&password=...&x=1",
            ),
        ):
            folder = "/h/.local/state/emailsys"
            self.assertEqual(store_text(default, url), f"store {shown}, state folder {folder} (default)")
        chosen = choose_state("/srv", {"HOME": "/h"}, False)
        self.assertEqual(store_text(chosen, None), "store in /srv (--state)")

    def test_a_relative_folder_is_made_absolute(self) -> None:
        """The daemon changes its working directory."""
        self.assertEqual(choose_state("here", {"HOME": "/h"}, False).folder, Path.cwd() / "here")


class NoHomeTests(SynchronousTestCase):
    """A numeric user in a container: no $HOME, and no entry in the user database."""

    def setUp(self) -> None:
        def unknown(_: Any) -> Path:
            raise RuntimeError("Could not determine home directory.")

        self.patch(Path, "home", classmethod(unknown))
        self.patch(Path, "expanduser", unknown)

    def test_a_folder_that_is_named_is_enough(self) -> None:
        """By an option or the environment."""
        self.patch(Path, "expanduser", lambda path: path)
        self.assertEqual(choose_state("/srv/mail", {}, False).folder, Path("/srv/mail"))
        self.assertFalse(choose_state(None, {"EMAILSYS_STATE": "/srv/mail"}, False).is_default)

    def test_without_a_name_the_error_says_what_to_do(self) -> None:
        """The commands and the daemon print it, and exit with status 64."""
        error = self.assertRaises(NoHome, choose_state, None, {}, False)
        self.assertIn("name a folder with --state", str(error))
        self.assertIn(
            "~/mail: ~ names no home folder", str(self.assertRaises(NoHome, choose_state, "~/mail", {}, False))
        )


class ConfigFileTests(SynchronousTestCase):
    """Choice of the configuration file."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.state.mkdir()
        self.system = Path(self.mktemp())
        self.patch(locations, "SYSTEM_CONFIG", self.system)

    def test_the_order_is_option_environment_etc_state_folder(self) -> None:
        """The first existing file is used. Files are not merged."""
        self.assertIsNone(find_config(None, {}, self.state))
        own = self.state / "emailsys.toml"
        own.write_text("")
        self.assertEqual(find_config(None, {}, self.state), own)
        self.system.write_text("")
        self.assertEqual(find_config(None, {}, self.state), self.system)
        self.assertEqual(find_config(None, {"EMAILSYS_CONFIG": "/srv/e.toml"}, self.state), Path("/srv/e.toml"))
        self.assertEqual(
            find_config("/srv/o.toml", {"EMAILSYS_CONFIG": "/srv/e.toml"}, self.state), Path("/srv/o.toml")
        )
