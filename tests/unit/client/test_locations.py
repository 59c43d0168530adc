"""Where the mail client keeps its files."""

from __future__ import annotations

from pathlib import Path

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
