"""The directory as a whole: read for an export, and changed in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, select
from zope.interface import implementer

from emailsys.interfaces.operators.declaration import (
    AccountState,
    DirectoryAccess,
    DirectoryState,
    DomainState,
    IDeclaration,
)
from emailsys.mail.address import Address
from emailsys.store.directory.accounts import Accounts, list_domains
from emailsys.store.directory.aliases import Aliases, list_aliases
from emailsys.store.directory.cache import Directory
from emailsys.store.directory.changes import Changes
from emailsys.store.directory.delegated_senders import DelegatedSenders
from emailsys.store.directory.forwards import read_forward
from emailsys.store.directory.quotas import Quotas, put_quota
from emailsys.store.directory.route_rows import read_routes
from emailsys.store.directory.routes import Routes
from emailsys.store.schema.tables import accounts, credentials, delegated_senders, domains

T = TypeVar("T")


class _InTransaction(Changes):
    """Changes within a transaction that is under way."""

    def __init__(self, changes: Changes, directory: Directory, connection: Connection) -> None:
        super().__init__(changes.database, directory)
        self._connection = connection

    async def run(self, description: str, function: Callable[[Connection], T]) -> T:
        """Call a function now. The generation was incremented when the transaction began."""
        return function(self._connection)


class _QuotaChanges:
    """The part of `IQuotas` that changes a quota."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def set_quota(self, address: Address | str, octets: int | None) -> None:
        """Set the quota of an account or of a domain."""
        put_quota(self._connection, address, octets)


class _Access:
    """`DirectoryAccess` within a transaction."""

    def __init__(self, changes: Changes, directory: Directory, now: Callable[[], float]) -> None:
        self.accounts = Accounts(changes, _nothing, 0, now)
        self.aliases = Aliases(changes)
        self.delegated_senders = DelegatedSenders(changes)
        self.routes = Routes(changes, directory)


def _nothing() -> None:
    """The sweeper is woken after the commit, in the reactor's thread."""


@implementer(IDeclaration)
class Declaration:
    """Reading and changing of the directory as a whole."""

    def __init__(
        self,
        changes: Changes,
        directory: Directory,
        quotas: Quotas,
        purged: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        """
        @param purged: called when bodies may have become free.
        @param now: seconds since 1970.
        """
        self._changes = changes
        self._directory = directory
        self._quotas = quotas
        self._purged = purged
        self._now = now

    async def read(self) -> DirectoryState:
        """Return the whole directory. Statements of other processes may commit in between."""
        return await self._changes.database.read("read-directory", _read)

    async def change(self, action: Callable[[DirectoryAccess], Coroutine[Any, Any, T]]) -> T:
        """Make several changes in one transaction: all of them, or none if the action raises an exception."""

        def change(connection: Connection) -> T:
            bound = _InTransaction(self._changes, self._directory, connection)
            access: Any = _Access(bound, self._directory, self._now)
            access.quotas = _QuotaChanges(connection)
            return _completed(action(access))

        result = await self._changes.run("change-directory", change)
        self._quotas.forget()
        self._purged()
        return result


def _completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing.

    @raise RuntimeError: it waited.
    """
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("a change of the directory waits within its transaction")


def _read(connection: Connection) -> DirectoryState:
    quotas = {row.name: row.quota for row in connection.execute(select(domains.c.name, domains.c.quota)).all()}
    return DirectoryState(
        [DomainState(row.name, row.postmaster, quotas.get(row.name) or None) for row in list_domains(connection)],
        _read_accounts(connection),
        list_aliases(connection, None),
        read_routes(connection),
    )


def _read_accounts(connection: Connection) -> Sequence[AccountState]:
    secrets: dict[int, list[tuple[str, str]]] = {}
    for row in connection.execute(select(credentials).order_by(credentials.c.scheme)).all():
        secrets.setdefault(row.account_id, []).append((row.scheme, row.secret))
    senders: dict[int, list[Address]] = {}
    ordered = select(delegated_senders).order_by(delegated_senders.c.domain_key, delegated_senders.c.local_key)
    for row in connection.execute(ordered).all():
        senders.setdefault(row.account_id, []).append(Address(row.local, row.domain))
    asked = (
        select(accounts)
        .join(domains, domains.c.domain_id == accounts.c.domain_id)
        .order_by(domains.c.domain_key, accounts.c.local_key)
    )
    return [
        AccountState(
            Address(row.local, row.domain),
            secrets.get(row.account_id, []),
            bool(row.enabled),
            None if row.quota is None else int(row.quota),
            read_forward(connection, row),
            senders.get(row.account_id, []),
        )
        for row in connection.execute(asked).all()
    ]
