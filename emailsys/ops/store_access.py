"""What the operator's commands work on: the doors of a store, and what only a running daemon has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from emailsys.mail.address import Address
from emailsys.operations import (
    IAccounts,
    IAliasAdministration,
    IQueueOperations,
    IQuotas,
    IRouteAdministration,
    ITrace,
    IVerification,
)


class Doors(Protocol):
    """A store, as `emailsys.store.open.Store` is one."""

    @property
    def accounts(self) -> IAccounts:
        """Domains and accounts."""

    @property
    def aliases(self) -> IAliasAdministration:
        """Aliases and catch-alls."""

    @property
    def routes(self) -> IRouteAdministration:
        """Routes to smart hosts."""

    @property
    def quotas(self) -> IQuotas:
        """Bounds on maildrops."""

    @property
    def queue_operations(self) -> IQueueOperations:
        """The queue, as an operator sees it."""

    @property
    def trace(self) -> ITrace:
        """The life of messages."""

    @property
    def verification(self) -> IVerification:
        """The ledger."""


# Where mail for an address goes, from a sender or nobody in particular: what `route explain` answers.
Explain = Callable[[Address, Address | None], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the composition root knows and the store does not.

    `status` tells of the running daemon, None where none runs; `explain` asks routing, None where there is none;
    `queue_changed` is called when an operator has made something due. `store` is the URL of the database, without a
    password, which each answer bears, so that an operator sees which store was asked; None for the file in the state
    folder.
    """

    status: Callable[[], Mapping[str, Any]] | None = None
    explain: Explain | None = None
    queue_changed: Callable[[], None] | None = None
    store: str | None = None
