"""Store access of operator commands: the interfaces that handlers work on, and hooks into the running daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from emailsys.interfaces.operators import (
    IQueueOperations,
    ITokens,
    ITrace,
    IVerification,
)
from emailsys.interfaces.operators.declaration import DirectoryAccess, IDeclaration
from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.mail.address import Address


class StoreAccess(DirectoryAccess, Protocol):
    """The administrative interfaces of a store; `emailsys.store.open.Store` implements it. Listing is possible."""

    @property
    def tokens(self) -> ITokens:
        """Access tokens of the HTTP API."""

    @property
    def declaration(self) -> IDeclaration:
        """The directory as a whole."""

    @property
    def queue_operations(self) -> IQueueOperations:
        """The queue, as an operator sees it."""

    @property
    def trace(self) -> ITrace:
        """The history of messages."""

    @property
    def verification(self) -> IVerification:
        """The check of the ledger and the bodies."""


# Explains where mail for an address goes, from a given sender or from any: the answer of `route explain`.
Explain = Callable[[Address, Address | None], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Calls into the running daemon, for what the store does not know.

    `status` describes the running daemon, None if none runs. `explain` asks the routing policy, None if there is
    none. `queue_changed` is called after an operator has made queue rows due. `store` is the database URL without its
    password; every answer carries it, so that operators see which store was used. It is None for the default store.
    `wire` has the recorded connections, None if no daemon runs. `web_link` makes a link that logs in to the web
    face, as an operator or to the mail of an account, and returns its path; None if there is no web face. `turn` waits
    for the next turn of the reactor, so that a long answer does not delay mail; None if no daemon runs.
    """

    status: Callable[[], Mapping[str, Any]] | None = None
    explain: Explain | None = None
    queue_changed: Callable[[], None] | None = None
    store: str | None = None
    wire: IWireRecords | None = None
    web_link: Callable[[Address | None], str] | None = None
    turn: Callable[[], Awaitable[object]] | None = None


#: The command handlers by kind of request; each returns the result for the answer.
Handlers: TypeAlias = Mapping[type[Any], Callable[[Any, StoreAccess, Hooks], Awaitable[Any]]]
