"""Where the mail client keeps its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import skipUnless

import platformdirs
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.base.locations import accounts_file, archive_folder, state_folder


class NoHomeTests(SynchronousTestCase):
    """A numeric user in a container."""

    def test_without_a_home_folder_the_error_says_what_to_set(self) -> None:
        """The command ended with an unexpected RuntimeError and status 70."""

        def unknown(*_: object, **__: object) -> Path:
            raise RuntimeError("could not determine the home directory")

        for name in ("user_config_path", "user_data_path", "user_state_path"):
            self.patch(platformdirs, name, unknown)
        for locate in (accounts_file, archive_folder, state_folder):
            error = self.assertRaises(FileNotFoundError, locate)
            self.assertIn("no home folder: set HOME", str(error))


@skipUnless(sys.platform == "linux", "the rules of XDG are Linux's")
class PlaceTests(SynchronousTestCase):
    """The XDG base directories."""

    def test_each_thing_has_the_folder_that_the_person_chose(self) -> None:
        for name in ("CONFIG", "DATA", "STATE"):
            self.patch(os, "environ", {**os.environ, f"XDG_{name}_HOME": f"/chosen/{name.lower()}"})
        self.assertEqual(accounts_file(), Path("/chosen/config/emailsys/mail.toml"))
        self.assertEqual(archive_folder(), Path("/chosen/data/emailsys/mail"))
        self.assertEqual(state_folder(), Path("/chosen/state/emailsys/mail"))
