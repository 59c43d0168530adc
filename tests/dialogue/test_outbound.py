"""What our client says to other hosts, script by script, over a connection in memory."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.dialogue.script import Script, add_tests, scripts_in
from tests.dialogue.serving import Play


class OutboundTests(SynchronousTestCase):
    """Each script of the folder outbound."""


def _play(test: SynchronousTestCase, script: Script) -> None:
    Play(script).run()


add_tests(OutboundTests, list(scripts_in(Path(__file__).parent / "outbound")), _play)
