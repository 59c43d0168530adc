"""What docs/deploying.md hands to an administrator: the unit as systemd reads it, the configuration as we do."""

from __future__ import annotations

import re
import sys
from ctypes.util import find_library
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from emailsys.config.loader import load
from tests.live.programs.daemon import BIN
from tests.live.programs.installed import needs, run

DOCS = Path(__file__).parents[3] / "docs"


class DeployingTests(SynchronousTestCase):
    """The guide, as far as it can be read by programs."""

    @needs("systemd-analyze")
    def test_systemd_finds_nothing_wrong_with_the_unit(self) -> None:
        """The program stands elsewhere here, and the user is one that this machine has."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        text = (DOCS / "emailsys.service").read_text("utf-8")
        unit = folder / "emailsys.service"
        here = text.replace("/opt/emailsys/bin/emailsys", f"{sys.executable} {BIN / 'emailsys'}")
        self.assertNotEqual(here, text)
        unit.write_text(here.replace("User=emailsys", "User=daemon"), "utf-8")
        self.assertEqual(run(["systemd-analyze", "verify", str(unit)], home=folder).stdout, b"")

    @needs("systemd-analyze")
    def test_the_exposure_of_the_unit_is_below_2(self) -> None:
        """As systemd rates it, from 0 to 10."""
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=19", "--no-pager"]
        run([*command, str(DOCS / "emailsys.service")], home=Path(self.mktemp()).absolute().parent)

    @needs("systemd-analyze")
    @skipIf(find_library("seccomp") is None, "needs libseccomp")
    def test_a_message_goes_round_under_the_filter_of_system_calls(self) -> None:
        """A new version of Python or of a library may need another call."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        unit = (DOCS / "emailsys.service").read_text("utf-8")
        settings = re.findall(r"^SystemCallFilter=(.*)$", unit, re.M)
        filtered = [sys.executable, "-m", "tests.live.programs.system_calls", *settings, "--"]
        environ = {"PYTHONPATH": str(DOCS.parent)}
        run([*filtered, str(BIN / "emailsys"), "try", "--once", "--state", str(folder)], home=folder, environ=environ)

    def test_the_unit_does_not_start_again_what_cannot_start(self) -> None:
        """The statuses it names are those of a wrong command line, user or configuration."""
        found = re.search(r"^RestartPreventExitStatus=(.*)$", (DOCS / "emailsys.service").read_text("utf-8"), re.M)
        assert found is not None
        never = {Exit.USAGE, Exit.NO_USER, Exit.CANNOT_CREATE, Exit.NO_PERMISSION, Exit.CONFIG}
        self.assertEqual({Exit(int(number)) for number in found[1].split()}, never)

    def test_the_unit_starts_again_for_ever_what_has_failed(self) -> None:
        """By default, systemd gives up after five failures in ten seconds."""
        unit = (DOCS / "emailsys.service").read_text("utf-8")
        for line in ("StartLimitIntervalSec=0", "Restart=on-failure", "RestartSec=2"):
            self.assertIn(f"\n{line}\n", unit)

    def test_the_configuration_of_the_guide_is_one(self) -> None:
        """Its keys are the loader's."""
        guide = (DOCS / "deploying.md").read_text("utf-8")
        found = re.search(r"(?ms)^cat > /etc/emailsys/emailsys\.toml <<'END'\n(.*?)^END$", guide)
        assert found is not None
        path = Path(self.mktemp()).absolute()
        path.write_text(found[1])
        settings = load(path, path.parent)
        self.assertEqual((settings.hostname, settings.user), ("mail.example.org", "emailsys"))
        self.assertEqual(len(settings.tls.certificates), 1)
