"""Compare emailsys with Postfix and Dovecot on this machine, or run one of the other benchmarks.

    python -m benchmarks                              # all workloads, two rounds, results in benchmarks/results
    python -m benchmarks --workloads S1c10,P2         # only these
    python -m benchmarks --only emailsys --scale 0.1  # without the peer, a tenth of the messages
    python -m benchmarks --from a.json b.json         # the table and the plots of former results
    python -m benchmarks --list                       # the workloads, and the other benchmarks
    python -m benchmarks receive --seconds 5          # another benchmark, with its options

The servers take turns in each workload. Each message is fetched and compared with its checksum. The exit status is 1 if
a message was lost or changed, or if a client failed.
"""

from __future__ import annotations

import argparse
import runpy
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.suite import generator, postfix_dovecot
from benchmarks.suite.generator import Generator
from benchmarks.suite.measuring import Subject
from benchmarks.suite.plots import draw
from benchmarks.suite.postfix_dovecot import PostfixDovecot
from benchmarks.suite.results import Results, Run, merged, table
from benchmarks.suite.servers import Certificate, Emailsys, private_folder, users_file
from benchmarks.suite.workloads import WORKLOADS

_FOLDER: Final = Path(__file__).parent
_RESULTS: Final = _FOLDER / "results"
#: Modules that are no benchmarks of their own.
_PARTS: Final = {"__init__", "__main__", "flow", "process"}


def others() -> list[str]:
    """Return the names of the other benchmarks."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem not in _PARTS)


def list_all() -> None:
    """Print the workloads and the other benchmarks."""
    for workload in WORKLOADS.values():
        print(f"{workload.name:8} {workload.text} ({workload.unit})")
    for name in others():
        print(f"{name}: python -m benchmarks {name} --help")


def compare(names: list[str], rounds: int, seconds: float, scale: float, only: str | None) -> Results:
    """Start the servers, and run the workloads in turns."""
    results = Results.new()
    # SIGTERM ends the servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(private_folder()))
        load = Generator()
        stack.callback(load.close)
        certificate = Certificate(folder / "certificate")
        users = users_file(folder)
        subjects = []
        for kind in (Emailsys, PostfixDovecot):
            if only in (None, kind.name):
                (folder / kind.name).mkdir(mode=0o755)
                server = kind(folder / kind.name, certificate)
                stack.callback(server.close)
                subjects.append(Subject(server, load, users, certificate.ca, seconds, scale))
        for name in names:
            for number in range(1, rounds + 1):
                for subject in subjects:
                    results.runs.append(run_once(subject, name, number))
    return results


def run_once(subject: Subject, name: str, number: int) -> Run:
    """Run one workload on one server, and print what came out."""
    began = time.monotonic()
    subject.flaws = []
    figures = WORKLOADS[name].run(subject)
    run = Run(subject.server.name, name, number, figures, subject.flaws)
    cpu = f"{figures['cpu_ms_each']:.3f} ms CPU" if figures.get("cpu_ms_each") is not None else "CPU not measured"
    print(
        f"{name:8} {run.server:16} {figures['value']:10,.1f} {WORKLOADS[name].unit:12} {cpu}, "
        f"{figures['units']} in {time.monotonic() - began:.0f} s",
        flush=True,
    )
    for flaw in run.flaws:
        print(f"FLAW {flaw}", flush=True)
    return run


def report(results: Results, folder: Path | None) -> int:
    """Print the table, draw the plots, and return the exit status."""
    print("\n".join(table(results)))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in draw(results, folder):
            print(f"drawn: {path}")
    for flaw in results.flaws:
        print(f"FLAW {flaw}")
    return 1 if results.flaws else 0


def main() -> int:
    """Run the command; returns its exit status."""
    if len(sys.argv) > 1 and sys.argv[1] in others():
        name = sys.argv.pop(1)
        sys.argv[0] = f"benchmarks.{name}"
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print the workloads and the other benchmarks")
    parser.add_argument("--workloads", help="their names, with commas; all by default")
    parser.add_argument("--rounds", type=int, default=2, help="of each workload and server (default: 2)")
    parser.add_argument("--seconds", type=float, default=6.0, help="after which a run begins nothing new (default: 6)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the numbers of messages (default: 1)")
    parser.add_argument("--only", choices=[Emailsys.name, PostfixDovecot.name], help="compare nothing, run one server")
    parser.add_argument("--out", type=Path, help="the file for raw results (default: by date, in benchmarks/results)")
    parser.add_argument("--plots", type=Path, help="the folder for plots (default: none are drawn)")
    parser.add_argument("--from", dest="files", type=Path, nargs="+", help="run nothing, read these raw results")
    given = parser.parse_args()
    if given.list:
        list_all()
        return 0
    if given.files:
        return report(merged(given.files), given.plots)
    names = given.workloads.split(",") if given.workloads else list(WORKLOADS)
    if unknown := [name for name in names if name not in WORKLOADS]:
        parser.error(f"unknown workload {', '.join(unknown)}; see --list")
    missing = generator.why_not() or (postfix_dovecot.why_not() if given.only != Emailsys.name else "")
    if missing:
        print(f"{missing}; or compare nothing, with --only emailsys", file=sys.stderr)
        return 2
    results = compare(names, given.rounds, given.seconds, given.scale, given.only)
    out = given.out or _RESULTS / f"{results.machine['began'].replace(':', '')}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results.write(out)
    print(f"raw results: {out}")
    return report(results, given.plots)


if __name__ == "__main__":
    sys.exit(main())
