"""Accounts, domains and quotas, as operators administer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zope.interface import Interface

from emailsys.mail.address import Address
from emailsys.mail.forward import Forward

# Share of a quota above which a maildrop or domain counts as nearly full and gets a warning.
WARN_AT: Final = 0.9


@dataclass(frozen=True, slots=True)
class UserRow:
    """One row of `user list`: count and octets of the messages in the maildrop, its quota (0 for none), its forward."""

    address: Address
    enabled: bool
    messages: int
    octets: int
    quota: int = 0
    forward: Forward | None = None


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One row of `domain list`: octets of the messages in all its maildrops, and its quota, 0 for none."""

    name: str
    postmaster: Address | None
    users: int
    octets: int = 0
    quota: int = 0


class AdminError(Exception):
    """An administrative command cannot be carried out. The message says why, and what to do."""


class IAccounts(Interface):
    """Administration of domains and accounts. Every change increments the generation that caches check.

    Each method raises AdminError if an object does not exist, already exists, or the change is not allowed.
    """

    async def add_domain(name: str, postmaster: Address) -> None:
        """Add a domain. Its addresses postmaster and abuse are delivered to the account `postmaster`.

        The account is in a local domain, which may be the new one. It may be added later; until then, both addresses
        do not exist.
        """

    async def add_domains(rows: Sequence[tuple[str, Address]]) -> Sequence[str | None]:
        """Add domains in one commit. Returns for each row why it was refused, or None if it was added."""

    async def list_domains() -> Sequence[DomainRow]:
        """Return the domains in the order in which they were added."""

    async def remove_domain(name: str) -> None:
        """Remove a domain. Refused while it has users, or the postmaster of another domain."""

    async def add_user(address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Add an account with one row of credentials for each scheme."""

    async def add_users(rows: Sequence[tuple[Address, Sequence[tuple[str, str]]]]) -> Sequence[str | None]:
        """Add accounts in one commit. Returns for each row why it was refused, or None if it was added."""

    async def list_users(domain: str | None) -> Sequence[UserRow]:
        """Return the accounts, of one domain or all, by domain and local part."""

    async def find_user(address: Address) -> UserRow | None:
        """Return one account as `list_users` does, None if it does not exist."""

    async def remove_user(address: Address, purge: bool) -> None:
        """Remove an account. Refused while it has mail, unless `purge`.

        If a purge fails with StoreError, some of the mail may already be deleted. Also refused for the postmaster of a
        domain, unless it is the last user of that domain: otherwise no domain could be removed.
        """

    async def set_credentials(address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Replace the account's credentials."""

    async def renew_credentials(account_id: int, old: tuple[str, str], made: Sequence[tuple[str, str]]) -> bool:
        """Replace a stored secret by others of the same password, all of them pairs of scheme and secret.

        Secrets of other schemes than these stay. Returns whether the secret was still `old`. If it was not, or the
        account is gone, nothing changes.
        """

    async def set_forward(address: Address, targets: Sequence[Address], keeps_copy: bool) -> None:
        """Forward the mail of an account to addresses of this or other systems. Without targets, stop forwarding.

        @param keeps_copy: whether the maildrop of the account receives the mail, too.
        """

    async def set_enabled(address: Address, enabled: bool) -> None:
        """Enable or disable an account.

        A disabled account cannot log in, and its open sessions cannot send. It still receives mail.
        """


@dataclass(frozen=True, slots=True)
class Usage:
    """Octets in use and their quota, 0 for none."""

    octets: int
    limit: int

    @property
    def share(self) -> float:
        """The used share of the quota; 1.0 is full. 0.0 if there is no quota."""
        return self.octets / self.limit if self.limit else 0.0


class IQuotas(Interface):
    """Quotas of accounts and domains."""

    async def usage(account_id: int) -> tuple[Usage, Usage]:
        """Return the usage of an account and of its domain.

        Octets may be some seconds old. They are 0 if there is no quota.
        """

    async def set_quota(address: Address | str, octets: int | None) -> None:
        """Set the quota of an account, or of a domain by its name.

        @param octets: 0 for no quota; None for the default of the configuration.
        @raise AdminError: there is no such account or domain.
        """
