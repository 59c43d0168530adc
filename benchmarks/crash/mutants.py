"""Take the code's safeguards out, one at a time: for each, a harness must end with 1.

    python -m benchmarks.crash.mutants --list
    python -m benchmarks.crash.mutants              # all of them; prints caught or missed for each
    python -m benchmarks.crash.mutants NAME ...     # some of them

Each mutant is a copy of this checkout with one edit. The exit status is 1 if a harness missed one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.crash.safeguards import MUTANTS, Mutant

CHECKOUT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("emailsys", "tests", "benchmarks", "certs", "twisted")
FILES: Final = ("setup.cfg", "pyproject.toml")
# A harness that could not do its work has judged nothing.
BROKEN: Final = ("Traceback", "the daemon failed", "the daemon does not start")
# Seconds that a harness may take for one mutant.
PATIENCE: Final = 900.0


class Stale(Exception):
    """The code that a mutant edits is no longer there."""


@dataclass(frozen=True)
class Result:
    """How a harness ended, and the last lines that it printed."""

    caught: bool
    printed: str


def edited(mutant: Mutant, checkout: Path) -> dict[Path, str]:
    """The texts of the files that a mutant edits, after its edits.

    @raise Stale: a text that it edits is not there, or more than once.
    """
    texts: dict[Path, str] = {}
    for path, before, after in mutant.edits:
        file = checkout / path
        text = texts.get(file) or file.read_text("utf-8")
        if text.count(before) != 1:
            raise Stale(f"{path} has {text.count(before)} times {before!r}")
        texts[file] = text.replace(before, after)
    return texts


def attempt(mutant: Mutant, folder: Path) -> Result:
    """Run a mutant under its harness, until it is caught or every try is used up."""
    for name in FOLDERS:
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(CHECKOUT / name, folder)
    for file, text in edited(mutant, folder).items():
        file.write_text(text, "utf-8")
    printed = ""
    for _ in range(mutant.tries):
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.crash.{mutant.harness[0]}", *mutant.harness[1:]],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        printed = "\n".join(done.stdout.splitlines()[-3:])
        if done.returncode == 1 and not any(words in done.stdout for words in BROKEN):
            return Result(True, printed)
    return Result(False, printed)


def judge(mutants: Iterable[Mutant]) -> int:
    """Try mutants and print the result of each; returns the number that was missed."""
    missed = 0
    for mutant in mutants:
        with tempfile.TemporaryDirectory(prefix="emailsys-mutant-") as temporary:
            try:
                result = attempt(mutant, Path(temporary))
            except Stale as error:
                result = Result(False, str(error))
        missed += not result.caught
        print(f"{'caught' if result.caught else 'MISSED'} {mutant.name}: {' '.join(mutant.harness)}", flush=True)
        if not result.caught:
            print(result.printed, flush=True)
    return missed


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    chosen = parser.parse_args()
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := set(chosen.names) - set(known):
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if chosen.list:
        for mutant in MUTANTS:
            print(f"{mutant.name:24} {mutant.why}")
        return 0
    missed = judge([known[name] for name in chosen.names] or MUTANTS)
    print(f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
