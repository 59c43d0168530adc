"""Insertion of domains and accounts, within a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec

from sqlalchemy import Connection, delete, insert, select, update

from emailsys.interfaces.operators import AdminError
from emailsys.mail.address import ROLES, Address, domain_key
from emailsys.store.directory.changes import find_account, find_domain
from emailsys.store.schema.tables import accounts, addresses, credentials, domains

P = ParamSpec("P")
MakeId = Callable[[], int]


def refusal_of(
    function: Callable[Concatenate[Connection, P], None], connection: Connection, *arguments: P.args, **named: P.kwargs
) -> str | None:
    """Call a function that checks before it writes. Returns why it refused, or None.

    The transaction goes on after a refusal, because nothing was written.
    """
    try:
        function(connection, *arguments, **named)
    except AdminError as error:
        return str(error)
    return None


def insert_domain(connection: Connection, make_id: MakeId, name: str, postmaster: Address) -> None:
    """Insert a domain with the aliases postmaster and abuse.

    @raise AdminError: the domain exists, or the postmaster is on another system. Nothing was written.
    """
    key = domain_key(name)
    target_local, target_domain = postmaster.key
    if find_domain(connection, key) is not None:
        raise AdminError(f"the domain {name} already exists")
    if target_domain != key and find_domain(connection, target_domain) is None:
        raise AdminError(f"{postmaster} is not in a domain of this system. Name an account of this system.")
    domain_id = make_id()
    connection.execute(insert(domains).values(domain_id=domain_id, domain_key=key, name=name))
    account = find_account(connection, postmaster)
    for role in ROLES:
        connection.execute(
            insert(addresses).values(
                domain_id=domain_id,
                local_key=role,
                account_id=None if account is None else account.account_id,
                target_local=postmaster.local,
                target_domain=postmaster.domain,
                target_local_key=target_local,
                target_domain_key=target_domain,
            )
        )


def insert_user(connection: Connection, make_id: MakeId, address: Address, pairs: Sequence[tuple[str, str]]) -> None:
    """Insert an account with its credentials, and bind the aliases that have it as target.

    @raise AdminError: the domain does not exist, or the address is in use. Nothing was written.
    """
    local_key, key = address.key
    domain_id = find_domain(connection, key)
    if domain_id is None:
        raise AdminError(f"there is no domain {address.domain}. Add it first.")
    if find_account(connection, address) is not None:
        raise AdminError(f"the user {address} already exists")
    here = (addresses.c.domain_id == domain_id) & (addresses.c.local_key == local_key)
    itself = (addresses.c.target_local_key == local_key) & (addresses.c.target_domain_key == key)
    aliases = connection.execute(select(addresses).where(here)).all()
    for alias in aliases:
        if (alias.target_local_key, alias.target_domain_key) != address.key:
            target = Address(alias.target_local, alias.target_domain)
            raise AdminError(f"{address} is already an alias of {target}")
    account_id = make_id()
    connection.execute(
        insert(accounts).values(
            account_id=account_id,
            domain_id=domain_id,
            local_key=local_key,
            local=address.local,
            domain=address.domain,
            enabled=True,
        )
    )
    put_credentials(connection, account_id, pairs)
    if not aliases:
        connection.execute(
            insert(addresses).values(
                domain_id=domain_id,
                local_key=local_key,
                account_id=account_id,
                target_local=address.local,
                target_domain=address.domain,
                target_local_key=local_key,
                target_domain_key=key,
            )
        )
    connection.execute(update(addresses).where(itself).values(account_id=account_id))


def put_credentials(connection: Connection, account_id: int, pairs: Sequence[tuple[str, str]]) -> None:
    """Replace the credentials of an account."""
    connection.execute(delete(credentials).where(credentials.c.account_id == account_id))
    for scheme, secret in pairs:
        connection.execute(insert(credentials).values(account_id=account_id, scheme=scheme, secret=secret))
