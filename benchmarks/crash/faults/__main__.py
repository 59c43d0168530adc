"""Faults of what the daemon stands on, one at a time: what it answers during them, and what it has kept after them.

    python -m benchmarks.crash.faults --list
    python -m benchmarks.crash.faults full_disk slow_sync
    python -m benchmarks.crash.faults all --seed 3

Each fault has a daemon of its own, prints what it saw as lines "fault: figure", and then checks every promise as
kill_rounds does. A line with FLAW is a broken promise, a line with NOTE needs judgement. Faults that mount a file
system need root. The exit status is 1 if there was a FLAW.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.crash.faults import calls, databases, disks, files, resources, times
from benchmarks.crash.faults.case import Case
from benchmarks.crash.node import Ports
from tests.live.programs.daemon import Failed

FAULTS: Final[Sequence[Callable[[Case], None]]] = (
    disks.full_disk,
    disks.full_disk_late,
    disks.read_only,
    disks.eio,
    disks.checkpoint_beside_workers,
    disks.slow_sync,
    calls.each_call,
    resources.descriptors,
    resources.memory,
    times.clock,
    times.stopped,
    files.deleted_database,
    files.deleted_log,
    files.replaced_database,
    files.corrupted,
    files.truncated_wal,
    times.restart_time,
    databases.lost_commit,
)


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="or all")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--places",
        type=int,
        default=12,
        help="of each_call: calls in each part of a daemon's life; 0 for each call, once and for a while",
    )
    parser.add_argument("--lanes", type=int, default=4, help="of each_call: daemons side by side; most of them wait")
    Ports.option(parser)
    chosen = parser.parse_args()
    known = {fault.__name__: fault for fault in FAULTS}
    if chosen.list or not chosen.faults:
        for name, run in known.items():
            print(f"{name:18} {run.__doc__}")
        return 0
    names = list(known) if chosen.faults == ["all"] else chosen.faults
    if unknown := set(names) - set(known):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    print(f"seed {chosen.seed}")
    flaws = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"fault-{name}-") as temporary:
            case = Case(name, chosen, Path(temporary))
            try:
                known[name](case)
            except Failed as error:
                case.flaw("the daemon failed:", error)
            finally:
                case.close()
            flaws += case.flaws
    print(f"{flaws} flaws")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
