"""Router without aliases: resolves a forward-path to a local account, to a remote address, or to nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import lru_cache
from typing import Final

from emailsys.interfaces import Account, IDirectory
from emailsys.mail.address import Address
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.mail.ip import IP, read_ip

# RFC 5233 names it a subaddress: user+tag@ reaches user@.
_TAG_SEPARATOR: Final = "+"
_POSTMASTER: Final = "postmaster"


@lru_cache(maxsize=1024)
def _ip_of(text: str) -> IP | None:
    """Return the IP address in a text, with or without the syntax of an address literal, or None."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare[:5].lower() == "ipv6:":
        bare = bare[5:]
    return read_ip(bare)


class Router:
    """Resolves addresses by the current directory. The order is fixed: the exact address, then without +tag."""

    def __init__(self, directory: IDirectory, own_ips: Iterable[str] = ()) -> None:
        """@param own_ips: IP addresses of this host, besides the one that a client is connected to."""
        self._directory = directory
        self._own_ips = frozenset(ip for ip in map(_ip_of, own_ips) if ip is not None)

    async def resolve(self, path: Address, local_ip: str = "", sender: Address | None = None) -> tuple[Route, ...]:
        """Return one LocalRoute or one RemoteRoute for a path. Empty for a local address that does not exist.

        @param local_ip: the local address of the client's connection.
        @param sender: the reverse-path of the message, if there is one.
        """
        local_key, domain_key = path.key
        domain = await self._own_domain(local_key, domain_key, local_ip)
        if domain is None:
            return (RemoteRoute(path),) if domain_key else ()
        account = await self._account(local_key, domain)
        return () if account is None else (LocalRoute(account.account_id),)

    async def owns(self, account: Account, path: Address, local_ip: str = "") -> bool:
        """Return whether an account receives mail for a path, so that it may send from it."""
        return LocalRoute(account.account_id) in await self.resolve(path, local_ip)

    async def is_open(self, account: Account) -> bool:
        """Return whether the account still exists and is enabled."""
        found = await self._directory.find_address(*account.address.key)
        return found is not None and found.account_id == account.account_id and found.enabled

    def local_domains(self) -> Awaitable[frozenset[str]]:
        """Return the domains of this system, by their keys."""
        return self._directory.local_domains()

    async def delegated_senders(self, account: Account) -> frozenset[tuple[str, str]]:
        """Return the keys of the addresses that an account may send from besides its own; see `IDirectory`."""
        return await self._directory.delegated_senders(account.account_id)

    async def takes_bounces_only(self, path: Address, local_ip: str = "") -> bool:
        """Return whether a path is a rewritten sender (SRS). This router knows none."""
        return False

    def is_own_literal(self, domain_key: str, local_ip: str) -> bool:
        """Return whether a domain is an address literal with one of the IP addresses of this host."""
        if not domain_key.startswith("["):
            return False
        ip = _ip_of(domain_key)
        return ip is not None and (ip in self._own_ips or ip == _ip_of(local_ip))

    async def _own_domain(self, local_key: str, domain_key: str, local_ip: str) -> str | None:
        """Return the local domain in which to look up a local part, or None if the address is not local."""
        if not domain_key:
            # RFC 5321 §4.5.1: only <postmaster> may stand without a domain.
            return await self._directory.default_domain() if local_key == _POSTMASTER else None
        if domain_key.startswith("["):
            # RFC 5321 §4.1.3: mail to one of the IP addresses of this host is local.
            # Always looked up: while there is no domain, it raises, and no literal is refused permanently.
            default = await self._directory.default_domain()
            return default if self.is_own_literal(domain_key, local_ip) else None
        return domain_key if await self._directory.is_local_domain(domain_key) else None

    async def _account(self, local_key: str, domain: str) -> Account | None:
        account = await self._directory.find_address(local_key, domain)
        if account is not None:
            return account
        user = local_key.partition(_TAG_SEPARATOR)[0]
        if user and user != local_key:
            return await self._directory.find_address(user, domain)
        if local_key == _POSTMASTER:
            # RFC 5321 §4.5.1: every domain has a postmaster. If it was removed, the default domain's takes its place.
            default = await self._directory.default_domain()
            if default != domain:
                return await self._directory.find_address(_POSTMASTER, default)
        return None
