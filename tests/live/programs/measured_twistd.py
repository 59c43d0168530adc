"""twistd under coverage: the figures are saved before it ends itself by the signal that stopped it."""

from __future__ import annotations

import coverage
from twisted.application import app
from twisted.scripts.twistd import run

_end = app._exitWithSignal


def _save_and_end(number: int) -> None:
    measurement = coverage.Coverage.current()
    if measurement is not None:
        measurement.stop()
        measurement.save()
    _end(number)


app._exitWithSignal = _save_and_end

if __name__ == "__main__":
    run()
