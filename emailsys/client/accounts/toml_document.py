"""Checked reading of a TOML document: its errors, each with file, line if it is known, key path and allowed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emailsys.config.values import Unfit, described

Read = Callable[[Any], Any]


class Document:
    """Collects the errors of a document."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []

    def add_error(self, path: str, found: object, allowed: str, line: int | None = None) -> None:
        """Record a value that is not allowed. @param line: its line, from 1; None if it is not known."""
        where = f"{self.file}: " + (f"line {line}: " if line is not None else "")
        self.problems.append(f"{where}{path}: found {described(found)}; allowed: {allowed}")

    def add_missing(self, path: str, allowed: str, line: int | None = None) -> None:
        """Record a value that is missing."""
        where = f"{self.file}: " + (f"line {line}: " if line is not None else "")
        self.problems.append(f"{where}{path}: found nothing; allowed: {allowed}")

    def table(self, path: str, value: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
        """Return a table. Each key that is not one of `keys` is an error."""
        if not isinstance(value, dict):
            self.add_error(path, value, f"a table, [{path}]")
            return {}
        for key in value:
            if key not in keys:
                self.add_error(f"{path}.{key}", value[key], f"one of the keys {', '.join(keys)}")
        return value

    def read(self, path: str, table: Mapping[str, Any], key: str, reader: Read, default: Any) -> Any:
        """Return the value of a key as its reader reads it, or the default if it is missing or not allowed."""
        if key not in table:
            return default
        try:
            return reader(table[key])
        except Unfit as error:
            # Secrets are never shown.
            found = "a value" if key == "secret" else table[key]
            self.add_error(f"{path}.{key}", found, error.allowed)
            return default
