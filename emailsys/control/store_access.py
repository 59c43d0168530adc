"""Store access of operator commands: the interfaces that handlers work on, and hooks into the running daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from emailsys.interfaces.operators import (
    IAccounts,
    IAliasAdministration,
    IDelegatedSenders,
    IQueueOperations,
    IQuotas,
    IRouteAdministration,
    ITrace,
    IVerification,
)
from emailsys.mail.address import Address


class StoreAccess(Protocol):
    """The administrative interfaces of a store; `emailsys.store.open.Store` implements it."""

    @property
    def accounts(self) -> IAccounts:
        """Domains and accounts."""

    @property
    def aliases(self) -> IAliasAdministration:
        """Aliases and catch-alls."""

    @property
    def delegated_senders(self) -> IDelegatedSenders:
        """Addresses that accounts may send from besides their own."""

    @property
    def routes(self) -> IRouteAdministration:
        """Routes to smart hosts."""

    @property
    def quotas(self) -> IQuotas:
        """Quotas of accounts and domains."""

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
    """

    status: Callable[[], Mapping[str, Any]] | None = None
    explain: Explain | None = None
    queue_changed: Callable[[], None] | None = None
    store: str | None = None


#: The command handlers by kind of request; each returns the result for the answer.
Handlers: TypeAlias = Mapping[type[Any], Callable[[Any, StoreAccess, Hooks], Awaitable[Any]]]
