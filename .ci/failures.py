"""Print what failed in a log of trial: first the name of each test, one a line, then the traces.

    python .ci/failures.py [--names] LOG

A trace is cut to its last lines, so that a long one takes no room from the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

# The lines of a trace that are shown.
SHOWN: Final = 40
# What trial prints above each kind of failure.
KINDS: Final = {"[FAIL]": "FAIL", "[ERROR]": "ERROR", "[SUCCESS!?!]": "UNEXPECTED SUCCESS"}
SEPARATOR: Final = "=" * 79
END: Final = "-" * 79


class Failure(NamedTuple):
    """One trace, and the tests that ended so."""

    kind: str
    tests: list[str]
    trace: list[str]


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """The parts of a log below its separators; the last one ends above the closing lines."""
    begin: int | None = None
    for at, line in enumerate(lines):
        if line in (SEPARATOR, END):
            if begin is not None:
                yield lines[begin:at]
            begin = at + 1 if line == SEPARATOR else None
    if begin is not None:
        yield lines[begin:]


def failures(lines: list[str]) -> Iterator[Failure]:
    """What failed. trial prints the names of the tests below the trace that they share."""
    for block in blocks(lines):
        kind = KINDS.get(block[0]) if block else None
        if kind is None:
            continue
        rest = block[1:]
        while rest and not rest[-1].strip():
            rest.pop()
        names: list[str] = []
        while rest and rest[-1].strip() and not rest[-1].startswith((" ", "\t")):
            names.insert(0, rest.pop())
        yield Failure(kind, names, rest)


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", action="store_true", help="the names alone")
    parser.add_argument("log", type=Path)
    wanted = parser.parse_args()
    found = list(failures(wanted.log.read_text("utf-8", "replace").splitlines()))
    for one in found:
        for name in one.tests:
            print(f"{name}: {one.kind}")
    if wanted.names:
        return
    for one in found:
        print(f"\n[{one.kind}] {' '.join(one.tests)}")
        if len(one.trace) > SHOWN:
            print(f"[{len(one.trace) - SHOWN} lines above]")
        print("\n".join(one.trace[-SHOWN:]))


if __name__ == "__main__":
    main()
