"""Saved searches: names with their queries, in a file in the folder of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from emailsys.client.archive.files import changing, rewrite
from emailsys.client.archive.values import ArchiveError, NoSuchFolder

_FILE: Final = ".searches.json"
# Characters of a name.
_LONGEST: Final = 60


class SavedSearches:
    """The saved searches of a mailbox, sorted by name. Methods block."""

    def __init__(self, root: Path) -> None:
        """@param root: the folder of the store."""
        self._path = root / _FILE

    def load(self) -> dict[str, str]:
        """Return the queries by name. @raise ArchiveError: the file is damaged or cannot be read."""
        try:
            document = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as refused:
            raise ArchiveError(f"{self._path}: {refused.strerror}") from refused
        except ValueError:
            document = None
        if not isinstance(document, dict) or not all(isinstance(one, str) for one in document.values()):
            raise ArchiveError(f"{self._path} is damaged. Correct it, or remove it: then no search is saved")
        return dict(sorted(document.items(), key=lambda one: one[0].casefold()))

    def find(self, name: str) -> tuple[str, str]:
        """Return the name and the query of a saved search, named in upper or lower case.

        @raise NoSuchFolder: there is none.
        """
        saved = self.load()
        for one, query in saved.items():
            if one.casefold() == name.casefold():
                return one, query
        there = f"There are: {', '.join(saved)}" if saved else "None is saved yet"
        raise NoSuchFolder(f"There is no saved search {name!r}. {there}")

    def put(self, name: str, query: str, before: str = "") -> None:
        """Save a search, in place of one of the same name.

        @param before: the name that it had; "" if it is new.
        @raise ArchiveError: the name is invalid or taken, or the file cannot be written.
        """
        name = _valid(name)

        def change(saved: dict[str, str]) -> None:
            _check_is_free(saved, name, before)
            for one in (*_alike(saved, name), before):
                saved.pop(one, None)
            saved[name] = query

        self._change(change)

    def checked(self, name: str, before: str = "") -> str:
        """Return a name that `put` would take, as it would be saved. @raise ArchiveError: it is invalid or taken."""
        name = _valid(name)
        _check_is_free(self.load(), name, before)
        return name

    def rename(self, name: str, to: str) -> None:
        """Rename a saved search. @raise ArchiveError: there is none, or the new name is invalid or taken."""
        name, query = self.find(name)
        self.put(to, query, name)

    def remove(self, name: str) -> None:
        """Remove a saved search. The messages stay. @raise ArchiveError: there is none of that name."""
        name, _ = self.find(name)
        self._change(lambda saved: saved.pop(name, None))

    def _change(self, change: Callable[[dict[str, str]], object]) -> None:
        with changing(self._path):
            saved = self.load()
            change(saved)
            rewrite(self._path, json.dumps(saved, indent=1, ensure_ascii=False).encode())


def _valid(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise ArchiveError(f"{name!r} is not a valid name: it has 1 to {_LONGEST} printable characters")
    return name


def _alike(saved: Iterable[str], name: str) -> list[str]:
    """Return the names that differ from a name at most in case."""
    return [one for one in saved if one.casefold() == name.casefold()]


def _check_is_free(saved: Iterable[str], name: str, before: str) -> None:
    """@raise ArchiveError: a saved search that is to be renamed would replace another one."""
    taken = [one for one in _alike(saved, name) if one != before]
    if before and taken:
        raise ArchiveError(f"There is a saved search {taken[0]!r} already")
