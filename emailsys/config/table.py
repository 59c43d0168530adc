"""One table of the configuration file, read key by key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from emailsys.config.given import Given
from emailsys.config.server_keys import ELSEWHERE
from emailsys.config.values import Read, Unfit, described

# The number of an element, in the name of an array of tables: routing.routes[2].
_NUMBER: Final = re.compile(r"\[\d+\]")


def _header(path: str) -> str:
    """Return the line that begins a table in TOML: [path], or [[path]] for an element of an array."""
    name = _NUMBER.sub("", path)
    return f"[[{name}]]" if path.endswith("]") else f"[{name}]"


class Table:
    """One table of the file. Keys that were not read when it is closed are unknown ones."""

    def __init__(self, file: str, path: str, table: object, problems: list[str]) -> None:
        self._file = file
        self._path = path
        self._problems = problems
        self._known: list[str] = []
        self._table: dict[str, Any] = {}
        if isinstance(table, dict):
            self._table = table
        else:
            self.wrong("", table, f"a table, {_header(path)}")

    def wrong(self, key: str, found: object, allowed: str) -> None:
        """Record an error. What a reference stands for may be a secret, so the reference itself is shown."""
        value = self._table.get(key)
        items = value if isinstance(value, list) else [value]
        hidden = [item.references for item in items if isinstance(item, Given) and item.references]
        if hidden:
            found = " ".join(hidden)
        self._problems.append(f"{self._source(key)}: {self._where(key)}: found {described(found)}; allowed: {allowed}")

    def _source(self, key: str) -> str:
        """Return what gives the value of a key: an environment variable, or the file."""
        value = self._table.get(key)
        return value.origin if isinstance(value, Given) and value.is_variable else self._file

    def raw(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, unread."""
        self._known.append(key)
        return self._table.get(key, default)

    def read(self, readers: Mapping[str, Read]) -> dict[str, Any]:
        """Return the valid values by key. Missing and invalid ones are left out, so their defaults apply."""
        values: dict[str, Any] = {}
        for key, reader in readers.items():
            value = self.raw(key)
            if key not in self._table:
                continue
            try:
                values[key] = value.read(reader) if isinstance(value, Given) else reader(value)
            except Unfit as error:
                self.wrong(key, value if error.found is None else error.found, error.allowed)
        return values

    def section(self, key: str, readers: Mapping[str, Read]) -> dict[str, Any]:
        """Return the values of an inner table that has no other keys."""
        inner = self.inner(key)
        values = inner.read(readers)
        inner.close()
        return values

    def inner(self, key: str) -> Table:
        """Return an inner table, an empty one if it is missing."""
        return Table(self._file, self._where(key), self.raw(key, {}), self._problems)

    def elements(self, key: str, allowed: str) -> Iterator[Table]:
        """Yield the tables of an inner list; none if it is not a list. Each is closed before the next one."""
        given = self.raw(key, [])
        if isinstance(given, Given):
            given = given.value()
        if not isinstance(given, list):
            self.wrong(key, given, f"tables, [[{self._where(key)}]], {allowed}")
            return
        for number, table in enumerate(given, start=1):
            element = Table(self._file, f"{self._where(key)}[{number}]", table, self._problems)
            yield element
            element.close()

    def require(self, key: str, allowed: str) -> None:
        """Record an error if the key is missing."""
        if key not in self._table:
            self._problems.append(f"{self._file}: {self._where(key)}: found nothing; allowed: {allowed}")

    def close(self) -> None:
        """Record each key that was not read. Its value may be a password, as in a route's `password`."""
        for key in self._table:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                advice = f"allowed: {ELSEWHERE.get(key, ', '.join(self._known))}"
                if near and key not in ELSEWHERE:
                    advice = f"did you mean {near[0]}?"
                self._problems.append(f"{self._source(key)}: {self._where(key)}: found an unknown key; {advice}")

    def _where(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part) or "the file"
