"""Values from outside of the configuration file: environment variables, and references to variables and files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from emailsys.config.values import Read, Unfit

_PREFIX: Final = "EMAILSYS_"
# EMAILSYS_TABLE__KEY, or EMAILSYS_TABLE__TABLE__KEY.
_VARIABLE: Final = re.compile(r"EMAILSYS_([A-Z0-9]+(?:_[A-Z0-9]+)*(?:__[A-Z0-9]+(?:_[A-Z0-9]+)*)+)")
_REFERENCE: Final = re.compile(r"\{(env|file):([^{}]+)\}")


class Given(str):
    """Text of a value that does not stand in the file. It is read as text, or as TOML if text does not fit.

    `origin` is "$NAME" of a variable, or the references in the text. `is_variable` tells which of the two. `references`
    are those in the text, "" if it has none: what they stand for may be a secret.
    """

    __slots__ = ("is_variable", "origin", "references")

    origin: str
    is_variable: bool
    references: str

    @classmethod
    def of(cls, text: str, origin: str, is_variable: bool, references: str = "") -> Given:
        """Return the text with its origin."""
        given = cls(text)
        given.origin = origin
        given.is_variable = is_variable
        given.references = references
        return given

    def read(self, reader: Read) -> Any:
        """Return the value: `*:25` needs no quotes, and `25` is a number where one is required.

        @raise Unfit: the reader accepts neither.
        """
        try:
            return reader(str(self))
        except Unfit:
            value = self.value()
            if value is None:
                raise
            return reader(value)

    def value(self) -> Any:
        """Return the text as a TOML value; None if it is none."""
        try:
            return tomllib.loads(f"value = {self}")["value"] if "\n" not in self else None
        except tomllib.TOMLDecodeError:
            return None


def without_references(text: str) -> str:
    """Return a text without the references to variables and files in it."""
    return _REFERENCE.sub("", text)


def with_variables(document: dict[str, Any], environ: Mapping[str, str], top: Collection[str]) -> dict[str, Any]:
    """Return a document in which each key that an environment variable gives has its value. Empty ones give nothing.

    @param top: the keys outside of tables, of which `EMAILSYS_KEY` is the variable.
    """
    found = {**document}
    for name, text in sorted(environ.items()):
        path = _path_of(name, top)
        if path and text:
            _put(found, path, Given.of(text, f"${name}", is_variable=True))
    return found


def without_variables(environ: Mapping[str, str], top: Collection[str]) -> dict[str, str]:
    """Return an environment without the variables that set keys: for a daemon that has a configuration of its own."""
    return {name: text for name, text in environ.items() if not _path_of(name, top)}


def _path_of(name: str, top: Collection[str]) -> list[str]:
    """Return the key path that a variable sets; an empty one if it sets none."""
    match = _VARIABLE.fullmatch(name)
    if match is not None:
        return match[1].lower().split("__")
    key = name.removeprefix(_PREFIX).lower()
    return [key] if name.startswith(_PREFIX) and key in top else []


def _put(document: dict[str, Any], path: list[str], given: Given) -> None:
    *tables, key = path
    for table in tables:
        inner = document.get(table, {})
        if not isinstance(inner, dict):
            # The reader of the table says that it is none.
            return
        document[table] = document = {**inner}
    document[key] = given


class References:
    """Replaces `{env:NAME}` and `{file:PATH}` in the texts of a document."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        """@param folder: where relative paths begin."""
        self._environ = environ
        self._folder = folder
        #: Pairs of a key path and what is wrong with a reference in its value.
        self.problems: list[tuple[str, str]] = []

    def replaced(self, value: Any, path: str = "") -> Any:
        """Return a value of a document with the references in it replaced."""
        match value:
            case dict():
                return {key: self.replaced(inner, f"{path}.{key}" if path else key) for key, inner in value.items()}
            case list():
                return [self.replaced(inner, f"{path}[{number}]") for number, inner in enumerate(value, 1)]
            case str() if _REFERENCE.search(value):
                text = _REFERENCE.sub(lambda found: self._content(found[1], found[2], path), value)
                # Without the text around them, which may hold a password.
                names = " ".join(" ".join(f"{{{kind}:{name}}}" for kind, name in _REFERENCE.findall(value)).split())
                if isinstance(value, Given):
                    return Given.of(text, value.origin, is_variable=True, references=names)
                return Given.of(text, names, is_variable=False, references=names)
            case _:
                return value

    def _content(self, kind: str, name: str, path: str) -> str:
        if kind == "env":
            if name not in self._environ:
                self.problems.append((path, f"names the environment variable {name}, which is not set"))
            return self._environ.get(name, "")
        file = self._folder / name
        try:
            if not file.is_fifo() and not file.is_char_device():
                # Editors end the last line, and some begin the file with a byte order mark.
                return file.read_text("utf-8-sig").rstrip("\r\n")
            why = "it is a pipe or a device"
        except (OSError, ValueError) as error:
            why = str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"
        self.problems.append((path, f"names the file {file}, which cannot be read: {why}"))
        return ""


def origins(document: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Return where the value of each key of a document comes from: `file`, a variable, or a text with references."""
    found: dict[str, str] = {}
    for key, value in document.items():
        where = f"{path}.{key}" if path else key
        inner = value if isinstance(value, list) else [value]
        if isinstance(value, dict):
            found |= origins(value, where)
        elif inner and isinstance(inner[0], dict):
            for number, table in enumerate(inner, 1):
                found |= origins(table, f"{where}[{number}]") if isinstance(table, dict) else {}
        else:
            found[where] = next((item.origin for item in inner if isinstance(item, Given)), "file")
    return found
