"""The pictures of the documents still show what the program does; `make pictures` draws them again."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.pictures import FOLDER, message, trying


class PictureTests(SynchronousTestCase):
    """Each runs the program anew and compares."""

    def test_the_recorded_session_is_what_try_prints(self) -> None:
        """All lines, without ports, ids, passwords and times."""
        recorded = trying.drawn((FOLDER / "try.svg").read_text("utf-8"))
        self.assertEqual(recorded, f"$ {trying.COMMAND}\n{trying.constant(trying.record())}")

    def test_each_module_on_the_path_of_a_message_acts_at_its_step(self) -> None:
        """A daemon is followed once more."""
        picture = (FOLDER / "message.svg").read_text("utf-8")
        drawn = set(re.findall(r'data-at="([^"]+)" data-module="([^"]+)"', picture))
        acting = {(f"{side}: {said}", module) for side, said, modules in message.follow() for module in modules}
        self.assertGreater(len(drawn), 40)
        self.assertEqual(drawn - acting, set())
