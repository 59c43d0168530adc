"""OpenAPI 3.1 document of the API, made from the table of operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emailsys import __version__
from emailsys.interfaces.operators import Scope
from emailsys.web.api.operation import Operation, Parameter
from emailsys.web.api.problem import PROBLEM, PROBLEM_TYPE
from emailsys.web.api.schema import Schema
from emailsys.web.api.table import BASE, Table

_ABOUT: Final = (
    "Mail of an account and operation of the mail system. Every operation needs a token with the scope that its "
    "description names: `emailsys token add` makes one. Errors are problem details (RFC 9457). Lists come in pages: "
    "pass the `next` of an answer as `cursor`. Browsers of other sites cannot use this API (no CORS)."
)
_TAGS: Final[Mapping[str, str]] = {
    "Mail": "The messages in the maildrop of the account.",
    "Sending": "New messages, under the limits and checks of submission.",
    "Directory": "Domains, users and aliases.",
    "Routes": "Where mail goes.",
    "Queue": "Mail for other hosts that waits.",
    "System": "What the system does, and what it did.",
    "Wire": "Conversations with other hosts.",
}
# What every operation may answer.
_PROBLEMS: Final[Mapping[int, str]] = {
    400: "The request is malformed.",
    401: "The token is missing or not valid.",
    403: "The token does not have the scope.",
    422: "A value is not allowed.",
    429: "Too many failed logins from this network.",
    500: "Unexpected exception, which is logged.",
    503: "The store is not available now.",
}


def openapi(table: Table) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in table.operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    used = {operation.tag for operation in table.operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": "emailsys", "version": __version__, "description": _ABOUT},
        "servers": [{"url": BASE}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "emailsys_ID_SECRET",
                    "description": "Scopes: " + ", ".join(scope.value for scope in Scope) + ".",
                }
            },
        },
        # The roles of an operation name scopes (OpenAPI 3.1 §4.8.30.1).
        "security": [{"token": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description} Scope: `{operation.scope.value}`.".strip(),
        "security": [{"token": [operation.scope.value]}],
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {str(operation.success.status): _success(operation)},
    }
    if operation.bodies:
        found["requestBody"] = {
            "required": True,
            "content": {kind: _content(schema) for kind, schema in operation.bodies.items()},
            "description": f"At most {operation.max_body} octets.",
        }
    problems = {
        **_PROBLEMS,
        **({413: "The body is too large.", 415: "The body has another content type."} if operation.bodies else {}),
        **operation.problems,
    }
    for status, reason in sorted(problems.items()):
        found["responses"][str(status)] = {
            "description": reason,
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": schema.pop("description", ""),
        "schema": schema,
    }


def _success(operation: Operation) -> dict[str, Any]:
    success = operation.success
    found: dict[str, Any] = {"description": success.description}
    if success.status != 204:
        found["content"] = {success.content_type: _content(success.schema)}
    return found


def _content(schema: Schema | None) -> dict[str, Any]:
    return {} if schema is None else {"schema": schema}
