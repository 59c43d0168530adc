"""The Python files of the checkout, and what the laws of the house read in them: each file is parsed once."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import emailsys

HOUSE: Final = Path(emailsys.__file__).resolve().parent
CHECKOUT: Final = HOUSE.parent
# Folders that hold Python files of ours.
FOLDERS: Final = ("emailsys", "tests", "benchmarks", "twisted")
CLOCK_CALLS: Final = frozenset({"now", "utcnow", "today"})
# Functions of the standard library that take the name of an attribute as their second argument.
BY_NAME: Final = frozenset({"getattr", "setattr", "hasattr", "delattr", "patch"})


class Row(NamedTuple):
    """A named tuple. Its methods are documented; their underscore keeps them apart from the names of fields."""


PUBLIC: Final = frozenset(vars(Row))


@dataclass(frozen=True, slots=True)
class PrivateNames:
    """The private names in a tree; those that it uses have their lines.

    @ivar defined: functions, classes, variables and attributes of `self` that the tree defines.
    @ivar own: names that it takes from `self` and `cls`.
    @ivar foreign: names that it takes from all other objects and modules.
    @ivar imported: private modules and names of other projects that it imports.
    """

    defined: frozenset[str]
    own: tuple[tuple[str, int], ...]
    foreign: tuple[tuple[str, int], ...]
    imported: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What the laws read in one file.

    @ivar name: its path in the checkout, with slashes.
    @ivar imports: the absolute dotted names that its statements import, at any depth.
    @ivar clock_calls: the calls that read the date, each with its line.
    @ivar classes: the private names of each class at the top of a module of emailsys.
    """

    name: str
    docstring: str
    imports: tuple[str, ...]
    clock_calls: tuple[str, ...]
    private: PrivateNames
    classes: Mapping[str, PrivateNames]


def python_files() -> Iterator[Path]:
    """Every Python file that we write."""
    for folder in FOLDERS:
        yield from sorted((CHECKOUT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a module below emailsys; a package's own is its `__init__`."""
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts)


def our_modules() -> Iterator[tuple[str, Source]]:
    """Each module of emailsys, by its dotted name without that prefix."""
    for path in sorted(HOUSE.rglob("*.py")):
        yield module_name(path), source(path)


@functools.cache
def source(path: Path) -> Source:
    """Read a file of the checkout."""
    tree = ast.parse(path.read_text("utf-8"), str(path))
    nodes = list(ast.walk(tree))
    is_in_house = path.is_relative_to(HOUSE)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)] if is_in_house else []
    return Source(
        path.relative_to(CHECKOUT).as_posix(),
        ast.get_docstring(tree) or "",
        tuple(imported(nodes, module_name(path) if is_in_house else "")),
        tuple(clock_calls(nodes)),
        private_names(nodes),
        {node.name: private_names(list(ast.walk(node))) for node in classes},
    )


def imported(nodes: Iterable[ast.AST], module: str) -> Iterator[str]:
    """The absolute dotted names that import statements of a module below emailsys import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = f"emailsys.{module}".split(".")[: -node.level]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}"


def clock_calls(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The calls of `datetime` and `date` that read the clock, each behind its line."""
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CLOCK_CALLS
            and ast.unparse(node.func.value).split(".")[-1] in {"datetime", "date"}
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


def is_private(name: str) -> bool:
    """Whether a name is private: `_x` and `__x` are, `__x__` and an enum's `_x_` are not."""
    return name.startswith("_") and not name.endswith("_") and name not in PUBLIC


def private_names(nodes: Sequence[ast.AST]) -> PrivateNames:
    """The private names in the nodes of a tree."""
    defined: set[str] = set()
    used: dict[bool, list[tuple[str, int]]] = {True: [], False: []}
    from_others: list[tuple[str, int]] = []
    for node in nodes:
        if isinstance(node, ast.Name):
            if is_private(node.id) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            if is_private(node.attr):
                if isinstance(node.ctx, ast.Store) and _is_own(node.value):
                    defined.add(node.attr)
                used[_is_own(node.value)].append((node.attr, node.lineno))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if is_private(node.name):
                defined.add(node.name)
        elif isinstance(node, ast.Call):
            if name := _named_attribute(node):
                used[_is_own(node.args[0])].append((name, node.lineno))
        elif isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
            from_others += [(name, node.lineno) for name in imported([node], "") if _is_private_of_others(name)]
    return PrivateNames(frozenset(defined), tuple(used[True]), tuple(used[False]), tuple(from_others))


def _is_own(node: ast.AST) -> bool:
    """Whether an expression is the object or the class that a method belongs to."""
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _named_attribute(call: ast.Call) -> str | None:
    """The private name that a call such as `getattr(other, "_name")` takes from its first argument."""
    if len(call.args) < 2 or not isinstance(name := call.args[1], ast.Constant) or not is_private(str(name.value)):
        return None
    return str(name.value) if ast.unparse(call.func).split(".")[-1] in BY_NAME else None


def _is_private_of_others(name: str) -> bool:
    """Whether a dotted name of another project has a private part."""
    parts = name.split(".")
    return parts[0] not in {"emailsys", "tests", "benchmarks"} and any(map(is_private, parts))
