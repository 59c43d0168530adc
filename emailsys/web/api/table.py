"""Table of operations: finds the operation of a request, checks the request, and carries it out."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from emailsys.interfaces import LoginBusy, NoDomains, StoreDamaged, StoreError, TooManyGuesses
from emailsys.interfaces.operators import AdminError, TokenRow
from emailsys.telemetry import Telemetry
from emailsys.web.api.operation import JSON_TYPE, Call, Operation, Parameter, Result
from emailsys.web.api.problem import PROBLEM_TYPE, Problem, not_allowed, not_found
from emailsys.web.api.schema import Schema, problems
from emailsys.web.base.services import CheckToken

#: Where the API stands. A change that breaks callers gets another number.
BASE: Final = "/api/v1"
# Parameters in one address, and octets of the address.
_MAX_FIELDS: Final = 100
_MAX_ADDRESS: Final = 8192
# Octets of a JSON document that is parsed in the reactor's thread: 64 KiB take about a millisecond.
_AT_ONCE: Final = 64 * 1024
# Digits of a whole number in an address.
_MAX_DIGITS: Final = 19
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?", re.ASCII)
_HELP_TOKEN: Final = "Send `Authorization: Bearer TOKEN`. Make a token with: emailsys token add"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived. Names of header fields are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    ip: str = ""
    is_secure: bool = False


class Table:
    """The operations of the API.

    @ivar operations: in the order of the document.
    @ivar check_token: returns the token with a text; raises as `policy.token_check` does.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        check_token: CheckToken,
        telemetry: Telemetry,
        in_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        """@param in_thread: calls a function off the reactor's thread."""
        self.operations = tuple(operations)
        self.check_token = check_token
        self._telemetry = telemetry
        self._in_thread = in_thread

    def find(self, asked: Asked) -> tuple[Operation, Mapping[str, str]]:
        """Return the operation of a request, and the parts of its path that vary.

        @raise Problem: there is none.
        """
        if len(asked.path) + len(asked.query) > _MAX_ADDRESS:
            raise Problem(414, "address-too-long", "The address is too long", f"At most {_MAX_ADDRESS} octets.")
        rest = asked.path.removeprefix(f"{BASE}/")
        # Split before decoding: %2F belongs to a part.
        parts = rest.split("/") if rest != asked.path else [""]
        allowed: list[str] = []
        for operation in self.operations:
            values = _match(operation.parts, parts)
            if values is None:
                continue
            if operation.method == asked.method or (operation.method == "GET" and asked.method == "HEAD"):
                return operation, values
            allowed.append(operation.method)
        if allowed:
            more = ["HEAD"] if "GET" in allowed else []
            raise Problem(
                405,
                "method-not-allowed",
                "This address has no such method",
                f"Allowed: {', '.join(allowed)}.",
                headers=[("Allow", ", ".join([*allowed, *more]))],
            )
        raise not_found(f"There is no operation at this address of {BASE}.", f"See {BASE}/openapi.json.")

    def body_limit(self, asked: Asked) -> int:
        """Return the most octets that the body of a request may have."""
        try:
            return self.find(asked)[0].max_body
        except Problem:
            return 0

    async def answer(self, asked: Asked) -> Result:
        """Carry out a request. Every failure becomes a problem."""
        try:
            operation, parts = self.find(asked)
            token = await self._authorise(asked, operation)
            call = Call(token, asked.ip, self._values(operation, parts, asked), is_secure=asked.is_secure)
            call.octets = asked.body
            call.body_type, call.body = await self._body(operation, asked)
            return await operation.handler(call)
        except CancelledError:
            # The client has gone.
            raise
        except Exception as error:
            return self.refused(error)

    def refused(self, error: BaseException) -> Result:
        """Return the answer to a failure. One that was not expected is logged."""
        problem = self._problem(error)
        if problem is None:
            self._telemetry.exception("api-exception", Failure(error))  # type: ignore[no-untyped-call]
            problem = Problem(500, "defect", "Unexpected exception", help="The operator finds it in the log.")
        return Result(problem.body(), problem.status, PROBLEM_TYPE, problem.headers)

    def _problem(self, error: BaseException) -> Problem | None:
        match error:
            case Problem():
                return error
            case AdminError() | NoDomains():
                return Problem(409, "refused", "This cannot be carried out", str(error))
            case LoginBusy():
                many = isinstance(error, TooManyGuesses)
                why = "Too many failed logins from your network." if many else "Too many logins wait."
                return Problem(429, "too-many-logins", why, help="Try again later.", headers=[("Retry-After", "60")])
            case StoreDamaged():
                self._telemetry.event("web-damaged", why=str(error))
                return Problem(
                    500,
                    "message-damaged",
                    "The message is damaged",
                    "The disk no longer holds what was accepted.",
                    "Trying again does not help. The operator finds the damaged messages with: emailsys verify",
                )
            case StoreError():
                return Problem(
                    503,
                    "store-busy",
                    "The store is not available now",
                    str(error),
                    "Nothing was changed. Try again later.",
                    headers=[("Retry-After", "5")],
                )
        return None

    async def _authorise(self, asked: Asked, operation: Operation) -> TokenRow:
        kind, _, text = asked.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise Problem(
                401,
                "no-token",
                "This needs a token",
                help=_HELP_TOKEN,
                headers=[("WWW-Authenticate", 'Bearer realm="emailsys"')],
            )
        try:
            token = await self.check_token(text.strip(), asked.ip)
        except UnauthorizedLogin:
            self._telemetry.event("api-token-refused", ip=asked.ip, operation=operation.name)
            raise Problem(
                401,
                "invalid-token",
                "The token is not valid",
                "It is unknown, was removed or has expired, or its account is disabled.",
                "Make another one with: emailsys token add",
                headers=[("WWW-Authenticate", 'Bearer realm="emailsys", error="invalid_token"')],
            ) from None
        if operation.scope not in token.scopes:
            scope = operation.scope.value
            raise Problem(
                403,
                "scope-missing",
                "The token does not permit this",
                f"The operation {operation.name} needs the scope {scope}.",
                f"Make a token with --scope {scope}"
                + ("." if operation.scope.is_of_accounts else ": it is for operators."),
                headers=[("WWW-Authenticate", f'Bearer realm="emailsys", error="insufficient_scope", scope="{scope}"')],
            )
        return token

    def _values(self, operation: Operation, parts: Mapping[str, str], asked: Asked) -> dict[str, Any]:
        """Return the parameters, converted and checked.

        @raise Problem: one is missing, unknown or not allowed.
        """
        query = asked.query
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=_MAX_FIELDS)
        except ValueError:
            raise Problem(400, "malformed", "The query of the address is malformed") from None
        given: dict[str, list[str]] = {}
        for name, value in pairs:
            given.setdefault(name, []).append(value)
        found: dict[str, Any] = {}
        wrong: list[tuple[str, str]] = []
        for parameter in operation.parameters:
            name, schema = parameter.name, parameter.schema
            match parameter.place:
                case "path":
                    texts = [parts[name]]
                case "header":
                    texts = [asked.headers[name.lower()]] if name.lower() in asked.headers else []
                case _:
                    texts = given.pop(name, [])
            if not texts:
                if parameter.is_required:
                    wrong.append((name, "this parameter is required"))
                elif "default" in schema:
                    found[name] = schema["default"]
                elif parameter.is_list:
                    found[name] = []
                continue
            if len(texts) > 1 and not parameter.is_list:
                wrong.append((name, "this parameter was given more than once"))
                continue
            value = _converted(parameter, texts)
            wrong += [(name + where, what) for where, what in problems(value, schema)]
            found[name] = value
        wrong += [(name[:100], "this parameter is unknown") for name in given]
        if wrong:
            raise not_allowed(wrong)
        return found

    async def _body(self, operation: Operation, asked: Asked) -> tuple[str, Any]:
        """Return the content type of the body, and its value.

        @raise Problem: the body is malformed or not allowed.
        """
        if len(asked.body) > operation.max_body:
            raise Problem(413, "too-large", "The body is too large", f"At most {operation.max_body} octets.")
        if not operation.bodies:
            if asked.body:
                raise Problem(400, "malformed", "This operation takes no body")
            return "", None
        content_type = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in operation.bodies:
            raise Problem(
                415,
                "content-type",
                "The body has another content type than this operation takes",
                f"Allowed: {', '.join(operation.bodies)}.",
            )
        schema = operation.bodies[content_type]
        if schema is None:
            return content_type, asked.body
        if len(asked.body) <= _AT_ONCE:
            return content_type, _checked(asked.body, schema)
        return content_type, await self._in_thread(_checked, asked.body, schema)


def _checked(octets: bytes, schema: Schema) -> Any:
    """Return the value of a JSON document that fits a schema.

    @raise Problem: it does not.
    """
    value = read_json(octets)
    wrong = problems(value, schema)
    if wrong:
        raise not_allowed(wrong)
    return value


def _match(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """Return the variable parts of a path that fits a pattern, else None."""
    if len(pattern) != len(parts):
        return None
    found: dict[str, str] = {}
    for expected, part in zip(pattern, parts, strict=True):
        if expected.startswith("{") and part:
            try:
                found[expected[1:-1]] = unquote_to_bytes(part).decode("utf-8")
            except UnicodeDecodeError:
                return None
        elif expected != part:
            return None
    return found


def _converted(parameter: Parameter, texts: Sequence[str]) -> Any:
    """Return the value of a parameter as its schema has it; the text itself if it has not that form."""
    if parameter.is_list:
        return list(texts)
    text, kind = texts[0], parameter.schema.get("type")
    if kind == "integer" and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    if kind == "number":
        return float(text) if _NUMBER.fullmatch(text) else text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def read_json(octets: bytes) -> Any:
    """Parse a JSON document strictly (RFC 8259).

    @raise Problem: it is malformed, is nested too deeply, or has a name twice.
    """
    try:
        return json.loads(octets.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        detail = "It is nested too deeply."
    except UnicodeDecodeError:
        detail = "It is not UTF-8."
    except ValueError as error:
        detail = str(error)[:200]
    raise Problem(400, "malformed", "The body is not a JSON document", detail, f"Send {JSON_TYPE}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
