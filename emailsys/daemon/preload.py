"""Loading of modules before privileges are dropped, for a Python installation that only root can read."""

from __future__ import annotations

import concurrent.futures
import email
import encodings
import os
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Final

import emailsys
import twisted
from emailsys.pki import read_recipe
from emailsys.platforms.users import Identity, acting_as, is_root

# Packages whose modules are imported when they are first used.
_LAZY: Final = (encodings, email, concurrent.futures, emailsys)
# SQLAlchemy imports these by name.
_DIALECTS: Final = ("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "psycopg")
# The programs of users; scripts that only alembic can run; and what `daemon.web` loads if it is configured.
_LEFT_OUT: Final = ("emailsys.cli", "emailsys.client", "emailsys.store.schema.migrations", "emailsys.web")


def load_before_dropping(identity: Identity | None) -> None:
    """Import what the process may need later, if that user cannot read the Python installation.

    Without this, a daemon in the home folder of root would fail at the first module that it imports as another user.
    A migration of the store still requires a readable installation.
    """
    if identity is None or identity.uid == 0 or not is_root() or _can_read(identity):
        return
    for name in (*_DIALECTS, *(name for package in _LAZY for name in _modules(package))):
        # Some are for other systems, or need a package that is not installed.
        with suppress(ImportError):
            import_module(name)
    read_recipe()


def load_dialects() -> None:
    """Import what a store on any engine needs, as far as it is installed."""
    for name in _DIALECTS:
        with suppress(ImportError):
            import_module(name)


def _can_read(identity: Identity) -> bool:
    with acting_as(identity):
        try:
            for module in (os, twisted, emailsys):
                assert module.__file__ is not None
                with open(module.__file__, "rb"):
                    pass
        except OSError:
            return False
    return True


def _modules(package: ModuleType) -> Iterator[str]:
    """Yield the names of the modules in a package and its packages."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name in _LEFT_OUT:
            continue
        yield found.name
        if found.ispkg:
            yield from _modules(import_module(found.name))
