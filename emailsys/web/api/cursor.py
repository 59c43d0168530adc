"""Opaque cursors: where the next page of a list begins."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from emailsys.web.api.operation import Parameter
from emailsys.web.api.problem import not_allowed
from emailsys.web.api.schema import Schema, count, or_null, record, several, text

T = TypeVar("T")

#: Items of a page, if the caller does not say how many, and at most.
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_MAX_CURSOR: Final = 400

#: The parameters of every list that comes in pages.
PAGE: Final = (
    Parameter("limit", count("Items of the page.", 1, MAX_LIMIT, default=DEFAULT_LIMIT)),
    Parameter("cursor", text("The `next` of the page before; without it, the first page.", _MAX_CURSOR, 1)),
)


def page_of(items: Schema, description: str = "") -> Schema:
    """Return the schema of a page."""
    return record(
        {
            "items": several(items, description),
            "next": or_null(text("The cursor of the next page; null at the end.", _MAX_CURSOR)),
        }
    )


def write_cursor(*values: str | int) -> str:
    """Return the cursor for these values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(text: str | None, *kinds: type) -> Sequence[Any] | None:
    """Return the values in a cursor, None without one.

    @raise Problem: it is not a cursor of such values.
    """
    if text is None:
        return None
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        values = json.loads(octets)
    except (ValueError, RecursionError):
        values = None
    is_right = isinstance(values, list) and [type(value) for value in values] == list(kinds)
    if not is_right or any(isinstance(value, int) and not 0 <= value < 1 << 63 for value in values):
        raise not_allowed([("cursor", "this is not the `next` of an answer of this operation")])
    return list(values)


def page(rows: Sequence[T], limit: int, cursor: str | None, key: Callable[[T], tuple[str, ...]]) -> dict[str, Any]:
    """Return a page of rows that are in the order of their keys.

    Rows that are added or removed between two pages neither repeat nor hide others.
    """
    kinds = (str,) * (len(key(rows[0])) if rows else 1)
    after = read_cursor(cursor, *kinds) if rows else None
    left = rows if after is None else [row for row in rows if key(row) > tuple(after)]
    shown = left[:limit]
    return {"items": list(shown), "next": write_cursor(*key(shown[-1])) if len(left) > limit else None}
