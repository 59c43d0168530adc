"""The pictures of the documents still show what the program does; `make pictures` draws them again."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.pictures import FOLDER, message, trying, wire


class PictureTests(SynchronousTestCase):
    """Each runs the program anew and compares."""

    def test_the_recorded_session_is_what_try_prints(self) -> None:
        """All lines, without ports, ids, passwords and times."""
        recorded = trying.drawn((FOLDER / "try.svg").read_text("utf-8"))
        self.assertEqual(recorded, f"$ {trying.COMMAND}\n{trying.constant(trying.record())}")

    def test_the_sequence_diagram_is_what_goes_over_the_wire(self) -> None:
        """All lines and handshake messages, without ports, ids and times."""
        self.assertEqual(_texts((FOLDER / "wire.svg").read_text("utf-8")), _texts(wire.draw()))

    def test_each_module_on_the_path_of_a_message_acts_at_its_step(self) -> None:
        """A daemon is followed once more."""
        picture = (FOLDER / "message.svg").read_text("utf-8")
        drawn = set(re.findall(r'data-at="([^"]+)" data-module="([^"]+)"', picture))
        acting = {(f"{side}: {said}", module) for side, said, modules in message.follow(drawn) for module in modules}
        self.assertGreater(len(drawn), 40)
        self.assertEqual(drawn - acting, set())


def _texts(svg: str) -> list[str]:
    """The texts of a picture, without those of sizes: they depend on the version of OpenSSL."""
    return [re.sub(r", [0-9,]+ octets", "", text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
