"""The law on private names: a module uses its own and those of its classes, never those of another project."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.sources import PrivateNames, Source, is_private, our_modules, private_names, python_files, source

# The modules that exist to hold private names of other projects, and the test that shows what these names mean.
EXEMPT: Final = frozenset({"emailsys/upstream.py", "tests/upstream.py", "tests/unit/test_upstream.py"})


def files() -> Iterator[Source]:
    """Each file that the law covers."""
    return (code for code in map(source, python_files()) if code.name not in EXEMPT)


@functools.cache
def from_upstream(base: type[Any]) -> frozenset[str]:
    """The private names that a class of another project defines, those that its methods set on `self` too."""
    names = {name for name in vars(base) if is_private(name)}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
    except (OSError, TypeError, SyntaxError):
        return frozenset(names)
    return frozenset(names | private_names(list(ast.walk(tree))).defined)


def our_classes() -> dict[type[Any], PrivateNames]:
    """Each class at the top of a module of emailsys, with its private names; interfaces are no classes."""
    found: dict[type[Any], PrivateNames] = {}
    for name, code in our_modules():
        module = f"emailsys.{name}".removesuffix(".__init__")
        for class_name, private in code.classes.items():
            made = getattr(importlib.import_module(module), class_name)
            if isinstance(made, type) and name != "upstream":
                found[made] = private
    return found


class PrivateNameTests(SynchronousTestCase):
    """An upgrade of another project can break only `emailsys.upstream`, and its test says so first."""

    def test_emailsys_uses_a_private_name_only_in_the_module_that_defines_it(self) -> None:
        broken = [
            f"{code.name}:{line}: {name}"
            for code in files()
            if code.name.startswith("emailsys/")
            for name, line in code.private.foreign
            if name not in code.private.defined
        ]
        self.assertEqual(broken, [])

    def test_tests_use_private_names_of_emailsys_and_of_tests_only(self) -> None:
        ours = {name for code in files() for name in code.private.defined}
        broken = [
            f"{code.name}:{line}: {name}" for code in files() for name, line in code.private.foreign if name not in ours
        ]
        self.assertEqual(broken, [])

    def test_no_private_name_is_imported(self) -> None:
        broken = [f"{code.name}:{line}: {name}" for code in files() for name, line in code.private.imported]
        self.assertEqual(broken, [])

    def test_no_class_uses_or_overrides_a_private_name_of_its_base(self) -> None:
        """A private name on `self` belongs to a class of ours, and no base of another project has the same."""
        classes = our_classes()
        broken = []
        for made, private in classes.items():
            mine = {name for base in made.__mro__ if base in classes for name in classes[base].defined}
            foreign = {base for base in made.__mro__ if base.__module__.partition(".")[0] != "emailsys"} - {object}
            theirs = {name for base in foreign for name in from_upstream(base)}
            missing = {name for name, _ in private.own} - mine
            broken += [f"{made.__module__}.{made.__name__}: {name}" for name in sorted(missing | (mine & theirs))]
        self.assertEqual(broken, [])

    def test_the_law_sees_every_spelling(self) -> None:
        """The law would be worth nothing if `getattr` or an import escaped it."""
        tree = ast.parse(
            "import concurrent.futures._base\n"
            "from twisted.internet import _sslverify\n"
            "from emailsys.store import _x\n"
            "class A(B):\n"
            "    def f(self, other):\n"
            "        self._kept = other._far, getattr(other, '_named', 0), self._near, other.__init__\n"
        )
        found = private_names(list(ast.walk(tree)))
        self.assertEqual({name for name, _ in found.foreign}, {"_named", "_far"})
        self.assertEqual({name for name, _ in found.own}, {"_kept", "_near"})
        self.assertEqual(found.defined, {"_kept"})
        self.assertEqual(
            [name for name, _ in found.imported], ["concurrent.futures._base", "twisted.internet._sslverify"]
        )
