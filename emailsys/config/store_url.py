"""Replacement of `store.url` in the text of a configuration, with everything else kept as it is."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

_HEADER: Final = re.compile(r"\s*\[\s*store\s*\]\s*(#.*)?")
_ANY_HEADER: Final = re.compile(r"\s*\[")
_KEY: Final = re.compile(r"""(\s*)url\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')(\s*(?:#.*)?)""")
_DOTTED: Final = re.compile(r"""(\s*)store\s*\.\s*url\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')(\s*(?:#.*)?)""")


class NotReplaceable(Exception):
    """The text is written in such a way that the key cannot be replaced safely."""


def with_store_url(text: str, url: str) -> str:
    """Return the text of a configuration with another `store.url`. References in the URL stay as they are.

    @raise NotReplaceable: the key must be changed by hand.
    """
    line = f"url = {json.dumps(url, ensure_ascii=False)}"
    wanted: dict[str, Any] = tomllib.loads(text)
    store = wanted.get("store", {})
    lines = text.splitlines()
    if not isinstance(store, dict):
        raise NotReplaceable
    header = next((number for number, old in enumerate(lines) if _HEADER.fullmatch(old)), None)
    if "url" in store:
        _replace(lines, header, line)
    elif header is not None:
        lines.insert(header + 1, line)
    elif store:
        raise NotReplaceable
    else:
        lines += ["", "[store]", line]
    replaced = "\n".join(lines) + "\n"
    wanted["store"] = {**store, "url": url}
    try:
        is_right = tomllib.loads(replaced) == wanted
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise NotReplaceable
    return replaced


def _replace(lines: list[str], header: int | None, line: str) -> None:
    """Replace the line of the key: in its table, or written with a dot before all tables."""
    start, pattern, key = (0, _DOTTED, f"store.{line}") if header is None else (header + 1, _KEY, line)
    for number in range(start, len(lines)):
        if _ANY_HEADER.match(lines[number]):
            break
        if found := pattern.fullmatch(lines[number]):
            lines[number] = f"{found[1]}{key}{found[3]}"
            return
    raise NotReplaceable
