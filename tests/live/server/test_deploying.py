"""What docs/deploying.md hands to an administrator: the unit as systemd reads it, the configuration as we do."""

from __future__ import annotations

import re
import sys
from pathlib import Path

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

    def test_the_unit_does_not_start_again_what_cannot_start(self) -> None:
        """The statuses it names are those of a wrong command line, user or configuration."""
        found = re.search(r"^RestartPreventExitStatus=(.*)$", (DOCS / "emailsys.service").read_text("utf-8"), re.M)
        assert found is not None
        never = {Exit.USAGE, Exit.NO_USER, Exit.CANNOT_CREATE, Exit.NO_PERMISSION, Exit.CONFIG}
        self.assertEqual({Exit(int(number)) for number in found[1].split()}, never)

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
