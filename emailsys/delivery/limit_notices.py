"""Notices about sending limits to the owners of accounts and to postmasters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from emailsys.delivery.sending_counts import Crossing
from emailsys.interfaces import IRouter, Notice
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, Recipient, own_parameters
from emailsys.mail.sending_notice import SendingNotice, compose_for_owner, compose_for_postmaster


async def limit_notices(
    crossings: Sequence[Crossing], router: IRouter, hostname: str, queue_id: str, made_at: datetime
) -> tuple[Notice, ...]:
    """Return the notices about the limits that a message reached.

    @param hostname: stands for the default domain in the address of its postmaster.
    """
    notices: list[Notice] = []
    for number, crossing in enumerate(crossings):
        about = SendingNotice(
            crossing.sender.name,
            crossing.limit,
            crossing.used,
            crossing.is_held,
            f"{queue_id}.limit{number}",
            made_at,
        )
        owner, domain = crossing.sender.owner, crossing.sender.domain
        if owner is not None:
            notices += await _notice(router, owner, owner, about, compose_for_owner)
        # The bare postmaster is that of the default domain (RFC 5321 §4.5.1).
        path = Address("postmaster", domain)
        shown = Address("postmaster", domain or hostname)
        notices += await _notice(router, path, shown, about, compose_for_postmaster)
    return tuple(notices)


async def _notice(
    router: IRouter,
    path: Address,
    shown: Address,
    about: SendingNotice,
    compose: Callable[[SendingNotice, Address], bytes],
) -> list[Notice]:
    routes = tuple(await router.resolve(path))
    if not routes:
        return []
    octets = compose(about, shown)
    envelope = Envelope(None, (Recipient(path, routes),), about.made_at, own_parameters(octets, shown))
    return [Notice(envelope, octets)]
