"""Aliases, delegated senders and routes, as operators administer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import Interface

from emailsys.mail.address import Address
from emailsys.mail.next_hop import HostRoute


@dataclass(frozen=True, slots=True)
class AliasRow:
    """One row of `alias list`. A `name` with an empty local part is the catch-all of its domain."""

    name: Address
    targets: tuple[Address, ...]


class IAliasAdministration(Interface):
    """Administration of aliases. Each method raises AdminError if the change is not allowed."""

    async def set_alias(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Set the targets of an alias, local or remote. Its name must not be the address of an account."""

    async def add_targets(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Add targets to an alias. Creates the alias if there is none."""

    async def remove_targets(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Remove targets from an alias. Without targets, the alias is removed."""

    async def remove_alias(name: Address) -> None:
        """Remove an alias."""

    async def list_aliases(domain: str | None) -> Sequence[AliasRow]:
        """Return the aliases, of one domain or all, by domain and local part, the catch-all first."""


class IDelegatedSenders(Interface):
    """Administration of delegated senders: addresses that an account may send from besides those it receives mail for.

    An address with an empty local part stands for its whole domain, and `Address("", "")` for all addresses. Each
    method raises AdminError if there is no such account, and returns its delegated senders by domain and local part.
    """

    async def allow(account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        """Allow an account to send from addresses, of this system or others."""

    async def forbid(account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        """Take back delegations.

        @raise AdminError: one of them does not exist. Nothing was changed.
        """

    async def senders(account: Address) -> Sequence[Address]:
        """Return the delegated senders of an account."""


class IRouteAdministration(Interface):
    """Administration of the routes to smart hosts in the store."""

    async def set_route(route: HostRoute) -> None:
        """Add a route, or replace the one for the same domains."""

    async def remove_route(recipient_domain: str, sender_domain: str) -> None:
        """Remove a route.

        @raise AdminError: there is no such route.
        """

    async def routes() -> Sequence[HostRoute]:
        """Return the routes by sender domain and recipient domain, from a cache no older than a second."""
