"""The directory as a whole, as operators declare it: everything that can be read, and changes in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from zope.interface import Interface

from emailsys.interfaces.operators.accounts import IAccounts, IQuotas
from emailsys.interfaces.operators.routing import (
    AliasRow,
    IAliasAdministration,
    IDelegatedSenders,
    IRouteAdministration,
)
from emailsys.mail.address import Address
from emailsys.mail.forward import Forward
from emailsys.mail.next_hop import HostRoute

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain with its postmaster and its quota in octets, None for no limit."""

    name: str
    postmaster: Address | None
    quota: int | None


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account with what is stored for its password. `quota` is None for the default and 0 for no limit."""

    address: Address
    credentials: Sequence[tuple[str, str]]
    enabled: bool
    quota: int | None
    forward: Forward | None
    may_send_as: Sequence[Address]


@dataclass(frozen=True, slots=True)
class DirectoryState:
    """Domains in the order in which they were added; accounts, aliases and routes by name."""

    domains: Sequence[DomainState]
    accounts: Sequence[AccountState]
    aliases: Sequence[AliasRow]
    routes: Sequence[HostRoute]


class DirectoryAccess(Protocol):
    """The parts of a store that change its directory."""

    @property
    def accounts(self) -> IAccounts:
        """Domains and accounts. Listing is not possible, and neither is a purge."""

    @property
    def aliases(self) -> IAliasAdministration:
        """Aliases and catch-alls. Listing is not possible."""

    @property
    def delegated_senders(self) -> IDelegatedSenders:
        """Addresses that accounts may send from besides their own. Listing is not possible."""

    @property
    def routes(self) -> IRouteAdministration:
        """Routes to smart hosts. Listing is not possible."""

    @property
    def quotas(self) -> IQuotas:
        """Quotas; only `set_quota` is possible."""


class IDeclaration(Interface):
    """Reading and changing of the directory as a whole."""

    async def read() -> DirectoryState:
        """Return the whole directory."""

    async def change(action: Callable[[DirectoryAccess], Coroutine[Any, Any, T]]) -> T:
        """Make several changes in one transaction: all of them, or none if the action raises an exception.

        @param action: awaits nothing but the methods of the access that it gets. It may be called more than once, in
            another thread, so it has no other effects.
        """
