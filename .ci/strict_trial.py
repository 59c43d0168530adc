"""trial with --force-gc, at a fraction of its cost: what is imported before the first test is never collected.

    python -W error::RuntimeWarning .ci/strict_trial.py tests.unit tests.system

--force-gc collects before and after each test. Most of what a collection looks at are modules, classes and functions;
`gc.freeze` takes them out of its reach.
"""

import gc
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

from twisted.scripts.trial import run


def import_below(name: str) -> None:
    """Import a package with all that it contains, or a module."""
    package = import_module(name)
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}."):
        import_module(module.name)


def main() -> None:
    """Import what the arguments name, then let trial run it."""
    sys.path.insert(0, str(Path.cwd()))
    for name in sys.argv[1:]:
        import_below(name)
    gc.collect()
    gc.freeze()
    sys.argv[1:1] = ["--force-gc"]
    run()


if __name__ == "__main__":
    main()
