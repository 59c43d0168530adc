"""The law on private names: a module uses its own and those of its classes, never those of another project."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.test_house import CHECKOUT, our_modules, python_files

# The modules that exist to hold private names of other projects, and the test that shows what these names mean.
EXEMPT: Final = frozenset({"emailsys/upstream.py", "tests/upstream.py", "tests/unit/test_upstream.py"})
# Functions of the standard library that take the name of an attribute as their second argument.
BY_NAME: Final = frozenset({"getattr", "setattr", "hasattr", "delattr", "patch"})


class Row(NamedTuple):
    """A named tuple. Its methods are documented; their underscore keeps them apart from the names of fields."""


PUBLIC: Final = frozenset(vars(Row))


def is_private(name: str) -> bool:
    """Whether a name is private: `_x` and `__x` are, `__x__` and an enum's `_x_` are not."""
    return name.startswith("_") and not name.endswith("_") and name not in PUBLIC


def is_own(node: ast.AST) -> bool:
    """Whether an expression is the object or the class that a method belongs to."""
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def defined(tree: ast.AST) -> set[str]:
    """The private names that a tree defines: functions, classes, variables and attributes of `self`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            names.add(node.attr)
    return {name for name in names if is_private(name)}


def used(tree: ast.AST, *, own: bool) -> Iterator[tuple[str, int]]:
    """The private names that a tree takes from an object, with their lines.

    @param own: those taken from `self` and `cls`, or those taken from all other objects and modules.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and is_own(node.value) == own:
            yield node.attr, node.lineno
        elif isinstance(node, ast.Call) and len(node.args) > 1 and is_own(node.args[0]) == own:
            name = node.args[1]
            function = ast.unparse(node.func).split(".")[-1]
            if function in BY_NAME and isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield str(name.value), node.lineno


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The private modules and names that a tree imports from other projects, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] not in {"emailsys", "tests", "benchmarks"} and any(map(is_private, parts)):
                yield name, node.lineno


def files() -> Iterator[tuple[str, ast.Module]]:
    """Each file that the law covers, by its path in the checkout, with its syntax tree."""
    for path in python_files():
        name = path.relative_to(CHECKOUT).as_posix()
        if name not in EXEMPT:
            yield name, ast.parse(path.read_text("utf-8"))


@functools.cache
def from_upstream(base: type[Any]) -> frozenset[str]:
    """The private names that a class of another project defines, those that its methods set on `self` too."""
    names = {name for name in vars(base) if is_private(name)}
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(base)))
    except (OSError, TypeError, SyntaxError):
        return frozenset(names)
    return frozenset(names | defined(source))


def our_classes() -> dict[type[Any], ast.ClassDef]:
    """Each class at the top of a module of emailsys, with its syntax tree; interfaces are no classes."""
    found: dict[type[Any], ast.ClassDef] = {}
    for name, tree in our_modules():
        module = f"emailsys.{name}".removesuffix(".__init__")
        statements = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for node in statements:
            made = getattr(importlib.import_module(module), node.name)
            if isinstance(made, type) and name != "upstream":
                found[made] = node
    return found


class PrivateNameTests(SynchronousTestCase):
    """An upgrade of another project can break only `emailsys.upstream`, and its test says so first."""

    def test_emailsys_uses_a_private_name_only_in_the_module_that_defines_it(self) -> None:
        broken = [
            f"{file}:{line}: {name}"
            for file, tree in files()
            if file.startswith("emailsys/")
            for name, line in used(tree, own=False)
            if name not in defined(tree)
        ]
        self.assertEqual(broken, [])

    def test_tests_use_private_names_of_emailsys_and_of_tests_only(self) -> None:
        ours = {name for _, tree in files() for name in defined(tree)}
        broken = [
            f"{file}:{line}: {name}"
            for file, tree in files()
            for name, line in used(tree, own=False)
            if name not in ours
        ]
        self.assertEqual(broken, [])

    def test_no_private_name_is_imported(self) -> None:
        broken = [f"{file}:{line}: {name}" for file, tree in files() for name, line in imported(tree)]
        self.assertEqual(broken, [])

    def test_no_class_uses_or_overrides_a_private_name_of_its_base(self) -> None:
        """A private name on `self` belongs to a class of ours, and no base of another project has the same."""
        classes = our_classes()
        broken = []
        for made, tree in classes.items():
            mine = {name for base in made.__mro__ if base in classes for name in defined(classes[base])}
            foreign = {base for base in made.__mro__ if base.__module__.partition(".")[0] != "emailsys"} - {object}
            theirs = {name for base in foreign for name in from_upstream(base)}
            missing = {name for name, _ in used(tree, own=True)} - mine
            broken += [f"{made.__module__}.{made.__name__}: {name}" for name in sorted(missing | (mine & theirs))]
        self.assertEqual(broken, [])

    def test_the_law_sees_every_spelling(self) -> None:
        """The law would be worth nothing if `getattr` or an import escaped it."""
        source = ast.parse(
            "import concurrent.futures._base\n"
            "from twisted.internet import _sslverify\n"
            "from emailsys.store import _x\n"
            "class A(B):\n"
            "    def f(self, other):\n"
            "        self._kept = other._far, getattr(other, '_named', 0), self._near, other.__init__\n"
        )
        self.assertEqual({name for name, _ in used(source, own=False)}, {"_named", "_far"})
        self.assertEqual({name for name, _ in used(source, own=True)}, {"_kept", "_near"})
        self.assertEqual(defined(source), {"_kept"})
        self.assertEqual(
            [name for name, _ in imported(source)], ["concurrent.futures._base", "twisted.internet._sslverify"]
        )
