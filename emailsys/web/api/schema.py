"""JSON Schemas of the API: short ways to write them, and the check of values against them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from emailsys.mail.address import AddressSyntaxError, is_mail_domain, parse
from emailsys.mail.quantities import counted

#: A JSON Schema (2020-12), of which only the keywords in `KEYWORDS` are used.
Schema: TypeAlias = Mapping[str, Any]

#: The keywords that `problems` checks, and those that only explain.
KEYWORDS: Final = frozenset(
    {
        *("type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "format", "contentEncoding"),
        *("items", "minItems", "maxItems", "properties", "required", "additionalProperties"),
        *("title", "description", "default", "examples"),
    }
)
# Problems that one answer lists.
_MOST_PROBLEMS: Final = 20
# Characters of a value that a problem shows.
_SHOWN: Final = 60
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def text(description: str = "", most: int = 1000, least: int = 0, **more: Any) -> Schema:
    """Return the schema of a string."""
    return {"type": "string", "minLength": least, "maxLength": most, **_described(description), **more}


def address(description: str = "A mail address.") -> Schema:
    """Return the schema of a mail address."""
    return text(description, 400, 3, format="email")


def domain(description: str = "A domain name.") -> Schema:
    """Return the schema of a domain name."""
    return text(description, 255, 1, format="hostname")


def moment(description: str) -> Schema:
    """Return the schema of a time in answers: UTC (RFC 3339)."""
    return {"type": "string", "format": "date-time", "description": description}


def count(description: str, least: int = 0, most: int | None = None, **more: Any) -> Schema:
    """Return the schema of a whole number."""
    limit = {} if most is None else {"maximum": most}
    return {"type": "integer", "minimum": least, **limit, "description": description, **more}


def flag(description: str, **more: Any) -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean", "description": description, **more}


def choice(description: str, *values: str, **more: Any) -> Schema:
    """Return the schema of one of several strings."""
    return {"type": "string", "enum": list(values), "description": description, **more}


def several(items: Schema, description: str = "", most: int | None = None, least: int = 0) -> Schema:
    """Return the schema of a list."""
    limit = {} if most is None else {"maxItems": most}
    return {"type": "array", "items": items, "minItems": least, **limit, **_described(description)}


def record(properties: Mapping[str, Schema], optional: tuple[str, ...] = (), description: str = "") -> Schema:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        **_described(description),
    }


def table(values: Schema, description: str = "") -> Schema:
    """Return the schema of an object with any names and values of one kind."""
    return {"type": "object", "additionalProperties": values, **_described(description)}


def anything(description: str) -> Schema:
    """Return the schema of an object whose properties are described elsewhere."""
    return {"type": "object", "additionalProperties": True, "description": description}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **more}


def _described(description: str) -> dict[str, str]:
    return {"description": description} if description else {}


def problems(value: Any, schema: Schema, where: str = "") -> list[tuple[str, str]]:
    """Return what is wrong with a value: where, as a JSON Pointer (RFC 6901), and what."""
    found: list[tuple[str, str]] = []
    for problem in _problems(value, schema, where):
        found.append(problem)
        if len(found) >= _MOST_PROBLEMS:
            break
    return found


def _problems(value: Any, schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    kinds = schema.get("type")
    if kinds is not None:
        allowed = [kinds] if isinstance(kinds, str) else list(kinds)
        if not any(_is_kind(value, kind) for kind in allowed):
            yield where, f"found {_shown(value)}; allowed: {' or '.join(allowed)}"
            return
    if value is None:
        return
    if "enum" in schema and value not in schema["enum"]:
        yield where, f"found {_shown(value)}; allowed: {', '.join(map(str, schema['enum']))}"
    elif isinstance(value, str):
        yield from _text_problems(value, schema, where)
    elif isinstance(value, list):
        yield from _list_problems(value, schema, where)
    elif isinstance(value, dict):
        yield from _object_problems(value, schema, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        least, most = schema.get("minimum"), schema.get("maximum")
        if (least is not None and value < least) or (most is not None and value > most):
            yield where, f"found {_shown(value)}; allowed: {_range(least, most)}"


def _is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _TYPES[kind])


def _range(least: float | None, most: float | None) -> str:
    ends = [] if least is None else [f"at least {least}"]
    return " and ".join(ends if most is None else [*ends, f"at most {most}"])


def _text_problems(value: str, schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if len(value) < least or (most is not None and len(value) > most):
        limit = f"{least} to {most}" if most is not None else f"at least {least}"
        yield where, f"found {counted(len(value), 'character')}; allowed: {limit}"
    elif not _is_encodable(value):
        yield where, "found half of a surrogate pair; allowed: text that can be written as UTF-8"
    elif schema.get("contentEncoding") == "base64" and base64_octets(value) is None:
        yield where, "found text that is not base64; allowed: base64 (RFC 4648 §4)"
    else:
        wrong = _format_problem(value, schema.get("format"))
        if wrong:
            yield where, f"found {_shown(value)}; allowed: {wrong}"


def _is_encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def base64_octets(value: str) -> bytes | None:
    """Decode base64 strictly. Returns None if the text is not base64."""
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None


def _format_problem(value: str, name: str | None) -> str:
    """Return what is allowed, or "" if the value has the format."""
    match name:
        case "email":
            try:
                parse(value)
            except AddressSyntaxError:
                return "a mail address, such as bob@example.org"
        case "hostname":
            if not is_mail_domain(value):
                return "a domain name, such as example.org"
        case "date-time":
            try:
                if datetime.fromisoformat(value).tzinfo is None:
                    return "a time with its zone, such as 2026-11-30T12:00:00Z"
            except ValueError:
                return "a time with its zone, such as 2026-11-30T12:00:00Z"
    return ""


def _list_problems(value: list[Any], schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < least or (most is not None and len(value) > most):
        limit = f"{least} to {most}" if most is not None else f"at least {least}"
        yield where, f"found {counted(len(value), 'item')}; allowed: {limit}"
        return
    for number, item in enumerate(value):
        yield from _problems(item, schema.get("items", {}), f"{where}/{number}")


def _object_problems(value: dict[str, Any], schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield where, f"the property {name} is missing"
    for name, item in value.items():
        inside = f"{where}/{name[:_SHOWN].replace('~', '~0').replace('/', '~1')}"
        if name in known:
            yield from _problems(item, known[name], inside)
        elif others is False:
            yield inside, f"this property is unknown; allowed: {', '.join(known)}"
        elif isinstance(others, Mapping):
            yield from _problems(item, others, inside)


def _shown(value: Any) -> str:
    """Return a value in short, for a message."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str() if len(value) > _SHOWN:
            return ascii(value[:_SHOWN]) + "..."
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case int() if abs(value) >= 10**30:
            return "a very large number"
        case _:
            return ascii(value)
