"""Validation of the rules of an account, with file, line, key and allowed values in each error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from emailsys.client.accounts.rule_values import Condition, Place, Rule
from emailsys.client.accounts.toml_document import Document, Read
from emailsys.client.archive.values import DRAFTS, OUTBOX
from emailsys.config.values import Unfit, a_boolean, a_size

_CONDITIONS: Final = ("from", "to", "subject", "list", "header", "larger", "smaller")
_ACTIONS: Final = ("folder", "tags", "flag", "read", "stop")
_KEYS: Final = ("name", *_CONDITIONS, *_ACTIONS)
# RFC 5322 §3.6.8: a field name is printable ASCII without colon.
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,100}")
_TABLE: Final = re.compile(r"""\s*\[(\[?)\s*accounts\s*\.\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*\.\s*rules\b""")
_HEADING: Final = re.compile(r"\s*\[")
_KEY: Final = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""")


def read_rules(file: str, account: str, value: object, text: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Return the rules of an account, and their errors. If there are errors, there are no rules.

    @param text: the text of the file, in which the lines of errors are found.
    """
    path = f"accounts.{account}.rules"
    state = Document(file)
    if not isinstance(value, list):
        state.add_error(path, value, f"tables [[{path}]]")
        value = []
    lines = _lines(text, account)
    rules = [
        _Reader(state, f"{path}[{number + 1}]", lines[number] if number < len(lines) else {}).rule(one, number)
        for number, one in enumerate(value)
    ]
    return () if state.problems else tuple(rules), tuple(state.problems)


def _lines(text: str, account: str) -> list[dict[str, int]]:
    """Return the line of each key of each rule, as far as they are written in tables; "" is the line of the rule."""
    found: list[dict[str, int]] = []
    is_inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if _HEADING.match(line) and (table := _TABLE.match(line)):
            is_inside = account in table.groups()[1:]
            if is_inside and table[1]:
                found.append({"": number})
        elif re.match(r"\s*\[[^\],]*\]\]?\s*(?:#.*)?$", line):
            is_inside = False
        elif is_inside and found and (key := _KEY.match(line)):
            found[-1].setdefault(key[1], number)
    return found


class _Reader:
    """Reads one rule."""

    def __init__(self, state: Document, path: str, lines: Mapping[str, int]) -> None:
        self._state = state
        self._path = path
        self._lines = lines

    def rule(self, value: object, number: int) -> Rule:
        if not isinstance(value, dict):
            self._error("", value, f"a table, [[{self._path.partition('[')[0]}]]")
            return Rule("")
        for key in value:
            if key not in _KEYS:
                self._error(key, value[key], f"one of the keys {', '.join(_KEYS)}")
        has_conditions = any(key in value for key in _CONDITIONS)
        if not has_conditions:
            self._missing(f"a condition: {', '.join(_CONDITIONS)}")
        if not any(value.get(key) for key in _ACTIONS):
            self._missing(f"what to do: {', '.join(_ACTIONS)}")
        return Rule(
            name=self._read(value, "name", _words, f"rule {number + 1}"),
            conditions=tuple(self._conditions(value)),
            larger=self._read(value, "larger", a_size(0), None),
            smaller=self._read(value, "smaller", a_size(1), None),
            folder=self._read(value, "folder", _folder, None),
            tags=self._read(value, "tags", _tags, ()),
            flag=self._read(value, "flag", a_boolean, False),
            read=self._read(value, "read", a_boolean, False),
            stop=self._read(value, "stop", a_boolean, False),
            line=self._lines.get("", 0),
        )

    def _conditions(self, value: Mapping[str, Any]) -> list[Condition]:
        found = [
            Condition(place, self._read(value, place.value, _patterns, ()))
            for place in Place
            if place is not Place.HEADER and place.value in value
        ]
        fields = self._read(value, "header", _fields, {})
        return found + [Condition(Place.HEADER, patterns, name) for name, patterns in fields.items()]

    def _read(self, value: Mapping[str, Any], key: str, reader: Read, default: Any) -> Any:
        if key not in value:
            return default
        try:
            return reader(value[key])
        except Unfit as error:
            self._error(key, value[key], error.allowed)
            return default

    def _error(self, key: str, found: object, allowed: str) -> None:
        line = self._lines.get(key, self._lines.get(""))
        self._state.add_error(f"{self._path}.{key}" if key else self._path, found, allowed, line)

    def _missing(self, allowed: str) -> None:
        self._state.add_missing(self._path, allowed, self._lines.get(""))


def _words(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 200:
        raise Unfit("text on one line that is not empty")
    return value


def _patterns(value: object) -> tuple[str, ...]:
    """Read a text, or a list of texts of which one must be found."""
    values: Sequence[object] = value if isinstance(value, list) else [value]
    try:
        found = tuple(map(_words, values))
    except Unfit:
        found = ()
    if not found:
        raise Unfit('a text, or a list of texts such as ["@example.org", "bob@example.net"]')
    return found


def _fields(value: object) -> dict[str, tuple[str, ...]]:
    allowed = 'the names of header fields with texts, such as { X-Spam-Flag = "yes" }'
    if not isinstance(value, dict) or not value or not all(map(_FIELD_NAME.fullmatch, value)):
        raise Unfit(allowed)
    try:
        return {name: _patterns(patterns) for name, patterns in value.items()}
    except Unfit:
        raise Unfit(allowed) from None


def _folder(value: object) -> str:
    name = _words(value)
    if name in (OUTBOX, DRAFTS) or "/" in name or name.startswith("."):
        raise Unfit("the name of a folder of this account, but not Outbox or Drafts")
    return name


def _tags(value: object) -> tuple[str, ...]:
    allowed = 'a list of tags, each one word of at most 100 characters, such as ["invoice"]'
    if not isinstance(value, list) or not value:
        raise Unfit(allowed)
    for one in value:
        if not isinstance(one, str) or not one or len(one) > 100 or not one.isprintable() or " " in one:
            raise Unfit(allowed)
    return tuple(sorted(set(value)))
