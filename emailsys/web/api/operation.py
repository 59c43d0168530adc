"""Operations of the API as values: what a caller may send, what comes back, and who may call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from emailsys.interfaces.operators import Actor, Scope, TokenRow
from emailsys.web.api.schema import Schema

JSON_TYPE: Final = "application/json"
MESSAGE_TYPE: Final = "message/rfc822"
EVENTS_TYPE: Final = "text/event-stream"
#: Octets of a body where an operation does not say otherwise.
MAX_BODY: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or in the query of an address."""

    name: str
    schema: Schema
    place: str = "query"
    is_required: bool = False

    @property
    def is_list(self) -> bool:
        """Whether the parameter may be given several times."""
        return self.schema.get("type") == "array"


def in_path(name: str, schema: Schema) -> Parameter:
    """Return a part of the path that varies."""
    return Parameter(name, schema, "path", is_required=True)


@dataclass(frozen=True, slots=True)
class Success:
    """The answer of an operation that succeeds. `schema` is None for octets."""

    description: str
    schema: Schema | None = None
    content_type: str = JSON_TYPE
    status: int = 200


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an operation: a JSON value, octets, or pieces that are sent one after the other."""

    content: Any = None
    status: int = 200
    content_type: str = JSON_TYPE
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Call:
    """A request that was checked: the token that it came with, its parameters, and its body.

    @ivar body: the JSON value, or the octets of another type, or None.
    @ivar octets: the body as it arrived.
    """

    token: TokenRow
    ip: str
    values: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    body_type: str = ""
    is_secure: bool = False
    octets: bytes = field(default=b"", repr=False)

    @property
    def actor(self) -> Actor:
        """The caller, for the log of changes."""
        return Actor(f"token-{self.token.token_id}", self.ip)


Handler = Callable[[Call], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    @ivar path: below /api/v1, with {name} for each parameter in it.
    @ivar scope: what the token must permit.
    @ivar bodies: the content types that the body may have, each with its schema, None for octets.
    @ivar problems: statuses that this operation may answer besides those of all, each with the reason.
    @ivar seconds: the time in which the answer must begin.
    """

    name: str
    method: str
    path: str
    summary: str
    scope: Scope
    handler: Handler
    success: Success
    tag: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    bodies: Mapping[str, Schema | None] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)
    max_body: int = MAX_BODY
    seconds: float = 60.0

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the path."""
        return tuple(self.path.strip("/").split("/"))


#: Pieces of an answer that goes on.
Pieces = AsyncIterator[bytes]
