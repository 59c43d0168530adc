"""Print the test modules that read the date, the time of day or the time zone, by themselves or by what they import.

Found in the source, so that the list stays true. A module counts when it calls a clock or converts to local time, when
it imports a module of emailsys that does, or when a module that the tests share and that it imports does.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
# What reads a clock that tells the date, as it is called. `time.monotonic` and a reactor's `seconds` tell none.
CLOCKS: Final = frozenset(
    {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    | {f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "mktime", "tzset")}
)


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


@cache
def reads_a_clock(path: Path) -> bool:
    """Whether a file reads a clock or a time zone other than UTC."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and ast.unparse(node) in CLOCKS:
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            zones = [ast.unparse(one) for one in (*node.args, *(word.value for word in node.keywords))]
            if node.func.attr == "astimezone" and zones not in (["UTC"], ["timezone.utc"]):
                return True
            if node.func.attr == "fromtimestamp" and len(zones) < 2:
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


def depends_on_a_clock(path: Path) -> bool:
    """Whether a test module reads a clock, by its own imports or by what the tests share."""
    return any(map(reads_a_clock, imports_of(path) | tests_of(path)))


def modules(kinds: list[str]) -> Iterator[str]:
    """The dotted names of the test modules of these kinds that depend on a clock."""
    for kind in kinds:
        for path in sorted((CHECKOUT / "tests" / kind).rglob("test_*.py")):
            if depends_on_a_clock(path):
                yield ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)


if __name__ == "__main__":
    print("\n".join(modules(sys.argv[1:] or ["unit", "contract", "system"])))
