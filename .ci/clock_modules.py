"""Print the test modules that read the date or the time zone, by themselves or by what they import.

    python .ci/clock_modules.py date|zone KIND...

Found in the source, so that the list stays true. A module reads the date when it asks a clock for more than seconds,
or converts to local time; it reads the zone when what it is told depends on where it runs. A test module counts when it
does so itself, when it imports a module of emailsys that does, or when a module that the tests share and that it
imports does. `time.time` tells seconds, which are the same on every day and in every zone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
# Functions that tell the date; with UTC as their argument they do not depend on the zone.
CLOCKS: Final = frozenset({"datetime.now", "datetime.fromtimestamp", "date.fromtimestamp"})
# Functions that tell the date in UTC, whatever their arguments.
IN_UTC: Final = frozenset({"datetime.utcnow", "time.gmtime"})
# Functions that tell local time, whatever their arguments.
LOCAL: Final = frozenset(
    {"datetime.today", "date.today"}
    | {f"time.{name}" for name in ("localtime", "ctime", "strftime", "mktime", "tzset")}
)
UTC: Final = frozenset({"UTC", "timezone.utc"})


def path_of(dotted: str) -> Path | None:
    """The file of a module of this repository; None for a package's attribute or somebody else's module."""
    path = CHECKOUT.joinpath(*dotted.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def imports_of(path: Path) -> frozenset[Path]:
    """The modules of this repository that a file imports, at any depth of its statements."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {path_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {path_of(f"{node.module}.{alias.name}") or path_of(node.module) for alias in node.names}
    return frozenset(found - {None})  # type: ignore[arg-type]


def is_in_utc(call: ast.Call) -> bool:
    """Whether an argument of a call is UTC."""
    return any(ast.unparse(one) in UTC for one in (*call.args, *(word.value for word in call.keywords)))


@cache
def reads(path: Path, what: str) -> bool:
    """Whether a file reads the date, or the zone."""
    tree = tree_of(path)
    calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        name, call = ast.unparse(node), calls.get(node)
        if node.attr == "astimezone" and call is not None and not is_in_utc(call):
            return True
        if name in LOCAL or (name in IN_UTC and what == "date"):
            return True
        # A function that is passed on is called without a zone.
        if name in CLOCKS and ((what == "date" and node.attr == "now") or call is None or not is_in_utc(call)):
            return True
    return False


@cache
def tests_of(path: Path) -> frozenset[Path]:
    """A test module, and the modules of the tests that it imports, directly or by others."""
    found, waiting = {path}, [path]
    while waiting:
        ours = {one for one in imports_of(waiting.pop()) if "tests" in one.relative_to(CHECKOUT).parts}
        waiting += ours - found
        found |= ours
    return frozenset(found)


def depends(path: Path, what: str) -> bool:
    """Whether a test module reads the date or the zone, by its own imports or by what the tests share."""
    return any(reads(one, what) for one in imports_of(path) | tests_of(path))


def modules(what: str, kinds: list[str]) -> Iterator[str]:
    """The dotted names of the test modules of these kinds that depend on the date or the zone."""
    for kind in kinds:
        for path in sorted((CHECKOUT / "tests" / kind).rglob("test_*.py")):
            if depends(path, what):
                yield ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)


if __name__ == "__main__":
    if sys.argv[1:2] not in (["date"], ["zone"]):
        sys.exit(__doc__)
    print("\n".join(modules(sys.argv[1], sys.argv[2:] or ["unit", "contract", "system"])))
