"""Administrative writes, each of which increments the generation in the same commit, so that caches are cleared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, select, update

from emailsys.mail.address import Address
from emailsys.store.commit.database import Database
from emailsys.store.directory.cache import Directory
from emailsys.store.schema.tables import accounts, domains, generation

T = TypeVar("T")


class Changes:
    """Runs administrative writes."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self.database = database
        self._directory = directory

    async def run(self, description: str, function: Callable[[Connection], T]) -> T:
        """Call a function in a transaction. If it raises AdminError, nothing is changed."""

        def change(connection: Connection) -> tuple[int, T]:
            # Comes first, because on PostgreSQL its row lock serializes administrative writes.
            number = connection.execute(
                update(generation).values(number=generation.c.number + 1).returning(generation.c.number)
            ).scalar_one()
            return int(number), function(connection)

        number, result = await self.database.run(description, change)
        self._directory.announce(number)
        return result


def find_domain(connection: Connection, key: str) -> int | None:
    """Return the id of a domain of this system, or None."""
    return connection.execute(select(domains.c.domain_id).where(domains.c.domain_key == key)).scalar()


def find_account(connection: Connection, address: Address) -> Any:
    """Return the row of the account with that own address, or None."""
    local_key, key = address.key
    return connection.execute(
        select(accounts)
        .join(domains, domains.c.domain_id == accounts.c.domain_id)
        .where(accounts.c.local_key == local_key, domains.c.domain_key == key)
    ).one_or_none()
