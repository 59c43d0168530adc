"""Print how many contract tests each store engine passed; exit 1 unless all passed the same ones."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

# The words by which a test class names its engine.
ENGINES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "memory": "in-memory fake", "fake": "in-memory fake"}


def main() -> int:
    """Read the log of a verbose trial run, named by the first argument."""
    passed: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    suite = engine = module = ""
    for line in Path(sys.argv[1]).read_text("utf-8", "replace").splitlines():
        if line.startswith("tests."):
            module = line
        elif not module.startswith("tests.contract."):
            continue
        elif found := re.fullmatch(r"  (\w+)", line):
            name = found.group(1)
            word = next((word for word in ENGINES if word in name.lower()), "")
            engine = ENGINES.get(word, "")
            # What is left of the class name without its engine tells the suites of one engine apart.
            suite = re.sub(re.escape(word), "", name, count=1, flags=re.IGNORECASE) if word else ""
        elif engine and (found := re.fullmatch(r"    (\w+) \.\.\. +\[OK\]", line)):
            passed[engine].add((suite, found.group(1)))
    for name in sorted(passed):
        print(f"{name}: {len(passed[name])} passed")
    missing = sorted(set(ENGINES.values()) - set(passed))
    for name in missing:
        print(f"{name}: none passed")
    counts = {len(tests) for tests in passed.values()}
    names = {frozenset(test for _, test in tests) for tests in passed.values()}
    if missing or len(counts) != 1 or len(names) != 1:
        everywhere = frozenset.intersection(*names) if names else frozenset()
        for name in sorted(passed):
            for test in sorted({test for _, test in passed[name]} - everywhere):
                print(f"not on every engine: {test} ({name})")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
