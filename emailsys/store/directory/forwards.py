"""Forwards of accounts: where their mail goes besides the maildrop, or instead of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from emailsys.interfaces.operators import AdminError
from emailsys.mail.address import Address
from emailsys.mail.forward import Forward
from emailsys.store.schema.tables import accounts, forwards

# Targets of one forward. An alias has room for more.
MAX_TARGETS: Final = 20


class Forwarding(enum.IntEnum):
    """The column `accounts.forwarding`."""

    OFF = 0
    KEEPS_COPY = 1
    NO_COPY = 2


def read_forward(connection: Connection, account: Any) -> Forward | None:
    """Return the forward of an account, given its row, or None."""
    if account.forwarding == Forwarding.OFF:
        return None
    found = connection.execute(
        select(forwards.c.target_local, forwards.c.target_domain)
        .where(forwards.c.account_id == account.account_id)
        .order_by(forwards.c.number)
    ).all()
    targets = tuple(Address(local, domain) for local, domain in found)
    return Forward(targets, account.forwarding == Forwarding.KEEPS_COPY)


def check_forward(address: Address, targets: Sequence[Address]) -> None:
    """@raise AdminError: the account cannot have these targets."""
    if len(targets) > MAX_TARGETS:
        raise AdminError(f"a forward has at most {MAX_TARGETS} targets, not {len(targets)}. Use an alias.")
    if any(target.key == address.key for target in targets):
        raise AdminError(f"{address} cannot forward to itself. Its maildrop keeps a copy unless you refuse it.")


def put_forward(connection: Connection, account_id: int, targets: Sequence[Address], keeps_copy: bool) -> None:
    """Replace the forward of an account. Without targets, it has none."""
    mode = Forwarding.OFF if not targets else Forwarding.KEEPS_COPY if keeps_copy else Forwarding.NO_COPY
    connection.execute(delete(forwards).where(forwards.c.account_id == account_id))
    for number, target in enumerate(targets):
        connection.execute(
            insert(forwards).values(
                account_id=account_id, number=number, target_local=target.local, target_domain=target.domain
            )
        )
    connection.execute(update(accounts).where(accounts.c.account_id == account_id).values(forwarding=int(mode)))
