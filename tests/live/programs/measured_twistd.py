"""twistd under coverage: saves the figures before the process ends itself with the signal that stopped it."""

from __future__ import annotations

import os

import coverage
from twisted.scripts.twistd import run

_kill = os.kill


def _save_and_kill(process: int, number: int) -> None:
    measurement = coverage.Coverage.current()
    if measurement is not None and process == os.getpid():
        measurement.stop()
        measurement.save()
    _kill(process, number)


# After a signal has stopped the reactor, twistd sends the same signal to itself.
os.kill = _save_and_kill

if __name__ == "__main__":
    run()
