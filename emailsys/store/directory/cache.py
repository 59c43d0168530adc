"""Look-ups of domains, addresses and logins, in a cache that is cleared when the generation changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select
from zope.interface import implementer

from emailsys.interfaces import Account, IAliases, IDirectory, Login, NoDomains, StoreError, StoreMissing
from emailsys.mail.address import ROLES, Address
from emailsys.mail.forward import Forward
from emailsys.mail.next_hop import HostRoute
from emailsys.store.commit.database import Database, Reactor
from emailsys.store.directory.forwards import read_forward
from emailsys.store.directory.route_rows import read_routes
from emailsys.store.schema.tables import accounts, addresses, credentials, delegated_senders, domains, generation

T = TypeVar("T")

# The message about a store without domains.
NO_DOMAINS: Final = (
    "no domain has been added, so all mail is delayed with 451 4.3.5. Run emailsys domain add NAME --postmaster ADDRESS"
)

# Seconds between two checks of the generation. Answers are less than one second old even if a check is slow.
_LOOK_EVERY: Final = 0.5
# Answers in the cache, including those for unknown addresses. Beyond this number, the cache is cleared.
_CACHED: Final = 20_000


@implementer(IDirectory, IAliases)
class Directory:
    """Cached look-ups. Changes by this process apply at once, changes by other processes within a second."""

    def __init__(self, database: Database, reactor: Reactor) -> None:
        self._database = database
        self._reactor = reactor
        self._generation = -1
        self._looked_at = float("-inf")
        self._answers: dict[tuple[str, ...], object] = {}
        #: Called with the generation after a change by this process, to tell the others of the daemon at once.
        self.tell: Callable[[int], None] | None = None

    def announce(self, number: int) -> None:
        """Note the generation of a change by this process, and tell others."""
        self.changed(number)
        if self.tell is not None:
            self.tell(number)

    def changed(self, number: int) -> None:
        """Clear the cache if the generation has increased to a number."""
        if number > self._generation:
            self._generation = number
            self._answers.clear()

    async def _answer(self, key: tuple[str, ...], look_up: Callable[[Connection], T]) -> T:
        now = self._reactor.seconds()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._check_files()
            try:
                self.changed(await self._database.read("generation", _generation))
            except StoreError:
                # No answer is given from the cache while the database cannot be asked.
                self._looked_at = float("-inf")
                raise
        try:
            return self._answers[key]  # type: ignore[return-value]  # a cast would be a call for each answer
        except KeyError:
            self._check_files()
            # Read the generation first, so that an answer is never older than its number.
            number, answer = await self._database.read("directory", lambda c: (_generation(c), look_up(c)))
            self._check_files()
        self.changed(number)
        if number == self._generation:
            if len(self._answers) >= _CACHED:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def _check_files(self) -> None:
        """Check that the files of the store are still the ones that were opened.

        @raise StoreMissing: the files were removed or replaced.
        """
        why = self._database.why_untrusted()
        if why is not None:
            self._answers.clear()
            raise StoreMissing(f"{why}. Put the files back, or restart emailsys to use the present files.")

    async def _answer_or_no_domains(self, key: tuple[str, ...], look_up: Callable[[Connection], T]) -> T:
        """Return an answer that may lead to a permanent refusal. A store without domains cannot give one.

        @raise NoDomains: the store has no domains.
        """
        answer = await self._answer(key, look_up)
        if not answer:
            await self.default_domain()
        return answer

    async def is_local_domain(self, domain_key: str) -> bool:
        """Whether a domain belongs to this system."""

        def look_up(connection: Connection) -> bool:
            asked = select(domains.c.domain_id).where(domains.c.domain_key == domain_key)
            return connection.execute(asked).scalar() is not None

        return await self._answer_or_no_domains(("domain", domain_key), look_up)

    def local_domains(self) -> Coroutine[Any, Any, frozenset[str]]:
        """Return the domains of this system. Each message from outside asks for them."""
        return self._answer(("domains",), _local_domains)

    async def default_domain(self) -> str:
        """Return the key of the domain that was added first."""

        def look_up(connection: Connection) -> str | None:
            return connection.execute(select(domains.c.domain_key).order_by(domains.c.domain_id).limit(1)).scalar()

        first = await self._answer(("default",), look_up)
        if first is None:
            raise NoDomains(NO_DOMAINS)
        return first

    async def find_address(self, local_key: str, domain_key: str) -> Account | None:
        """Return the account with that address, or the only target of postmaster or abuse.

        For other aliases see `targets`: addresses with a +tag have priority over them.
        """

        def look_up(connection: Connection) -> Account | None:
            asked = (
                select(addresses.c.target_local_key, addresses.c.target_domain_key, accounts)
                .join(domains, domains.c.domain_id == addresses.c.domain_id)
                .outerjoin(accounts, accounts.c.account_id == addresses.c.account_id)
                .where(addresses.c.local_key == local_key, domains.c.domain_key == domain_key)
                .limit(2)
            )
            found = connection.execute(asked).all()
            if len(found) != 1 or found[0].account_id is None:
                return None
            row = found[0]
            itself = (row.target_local_key, row.target_domain_key) == (local_key, domain_key)
            return _account(row, read_forward(connection, row)) if itself or local_key in ROLES else None

        return await self._answer_or_no_domains(("address", local_key, domain_key), look_up)

    async def targets(self, local_key: str, domain_key: str) -> Sequence[Address]:
        """Return the targets of an alias, in order. An empty local part is the catch-all."""

        def look_up(connection: Connection) -> Sequence[Address]:
            asked = (
                select(addresses)
                .join(domains, domains.c.domain_id == addresses.c.domain_id)
                .where(addresses.c.local_key == local_key, domains.c.domain_key == domain_key)
                .order_by(addresses.c.number)
            )
            return tuple(
                Address(row.target_local, row.target_domain)
                for row in connection.execute(asked).all()
                if (row.target_local_key, row.target_domain_key) != (local_key, domain_key)
            )

        return await self._answer_or_no_domains(("targets", local_key, domain_key), look_up)

    async def routes(self) -> Sequence[HostRoute]:
        """Return the routes in the store."""
        return await self._answer(("routes",), read_routes)

    async def delegated_senders(self, account_id: int) -> frozenset[tuple[str, str]]:
        """Return the keys of the addresses that an account may send from besides its own."""

        def look_up(connection: Connection) -> frozenset[tuple[str, str]]:
            asked = select(delegated_senders.c.local_key, delegated_senders.c.domain_key).where(
                delegated_senders.c.account_id == account_id
            )
            return frozenset((row.local_key, row.domain_key) for row in connection.execute(asked).all())

        return await self._answer(("senders", str(account_id)), look_up)

    async def find_login(self, name_key: tuple[str, str]) -> Login | None:
        """Return the account with that address and its credentials, even if it is disabled."""
        local_key, domain_key = name_key

        def look_up(connection: Connection) -> Login | None:
            asked = (
                select(accounts)
                .join(domains, domains.c.domain_id == accounts.c.domain_id)
                .where(accounts.c.local_key == local_key, domains.c.domain_key == domain_key)
            )
            row = connection.execute(asked).one_or_none()
            account = _account(row)
            if row is None or account is None:
                return None
            pairs = connection.execute(
                select(credentials.c.scheme, credentials.c.secret)
                .where(credentials.c.account_id == account.account_id)
                .order_by(credentials.c.scheme)
            ).all()
            return Login(account, tuple((str(scheme), str(secret)) for scheme, secret in pairs), row.password_number)

        return await self._answer_or_no_domains(("login", local_key, domain_key), look_up)


def _local_domains(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(domains.c.domain_key)).scalars())


def _generation(connection: Connection) -> int:
    return int(connection.execute(select(generation.c.number)).scalar_one())


def _account(row: Any, forward: Forward | None = None) -> Account | None:
    return None if row is None else Account(row.account_id, Address(row.local, row.domain), bool(row.enabled), forward)
