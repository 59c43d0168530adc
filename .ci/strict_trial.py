"""trial with --force-gc, at a fraction of its cost: a collection looks only at what the last test made.

    python -W error::RuntimeWarning .ci/strict_trial.py tests.unit tests.system

--force-gc collects before and after each test. Most of what a collection looks at are modules, classes, functions and
what earlier tests left; `gc.freeze` takes them out of its reach. Every so often, and at the end, all of it is
collected, so that no lost coroutine stays unreported.
"""

import gc
import itertools
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Final

from twisted.scripts.trial import run
from twisted.trial import _asyncrunner

# Collections, two a test, from one that looks at everything to the next.
_WHOLE: Final = 100
_collections = itertools.count(1)


def import_below(name: str) -> None:
    """Import a package with all that it contains, or a module."""
    package = import_module(name)
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}."):
        import_module(module.name)


def collect() -> int:
    """Collect what is new, at times everything, and set aside what is left."""
    if next(_collections) % _WHOLE == 0:
        gc.unfreeze()
    found = gc.collect()
    gc.freeze()
    return found


def main() -> None:
    """Import what the arguments name, then let trial run it."""
    sys.path.insert(0, str(Path.cwd()))
    names = [name for name in sys.argv[1:] if name.startswith("tests.")]
    for name in names:
        import_below(name)
    collect()
    # The module `gc`, as trial sees it.
    _asyncrunner.gc = SimpleNamespace(collect=collect)  # type: ignore[attr-defined]
    sys.argv[1:1] = ["--force-gc"]
    try:
        run()
    finally:
        gc.unfreeze()
        gc.collect()


if __name__ == "__main__":
    main()
