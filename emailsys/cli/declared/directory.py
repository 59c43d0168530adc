"""The directory as a file declares it: domains, accounts, aliases and routes. None stands for what the file omits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from emailsys.config.settings import RouteSettings
from emailsys.control.requests import RouteSet
from emailsys.mail.address import Address, domain_key

#: The quota of an account that has none of its own: `store.default_quota` of the configuration.
DEFAULT: Final = -1
#: What the store keeps of a route, besides the password. A route of the configuration may have more.
ROUTE_FIELDS: Final = tuple(each.name for each in fields(RouteSet) if each.name != "password")
#: Kinds of objects, in the order of the file.
KINDS: Final = ("domains", "accounts", "aliases", "routes")


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain. Its quota is in octets, 0 for none."""

    name: str
    postmaster: Address | None = None
    quota: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its secret: what is stored for it, or a file with the password.

    `quota` is in octets, 0 for none, DEFAULT for the default.
    """

    address: Address
    credentials: tuple[tuple[str, str], ...] = ()
    password_file: Path | None = None
    enabled: bool | None = None
    quota: int | None = None
    may_send_as: tuple[Address, ...] | None = None
    forward: tuple[Address, ...] | None = None
    keeps_copy: bool = True


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias; an empty local part is the catch-all."""

    name: Address
    targets: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """A route. The store shows only a salted digest of its password."""

    settings: RouteSettings
    digest: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Recipient domain and sender domain: which mail the route is for."""
        return domain_key(self.settings.recipient_domain), domain_key(self.settings.sender_domain)


@dataclass(frozen=True, slots=True)
class Directory:
    """Domains, accounts, aliases and routes.

    @ivar kinds: the kinds that the file has, even if they are empty. Only these are pruned.
    """

    domains: tuple[Domain, ...] = ()
    accounts: tuple[Account, ...] = ()
    aliases: tuple[Alias, ...] = ()
    routes: tuple[Route, ...] = ()
    kinds: frozenset[str] = frozenset()


def shown(address: Address) -> str:
    """Format an address of a file: @domain without a local part, * for all addresses."""
    return str(address) if address.local else f"@{address.domain}" if address.domain else "*"
