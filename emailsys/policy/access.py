"""Who may send as whom and to whom: the avatar of an SMTP session, a stranger's or an account's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery
from emailsys.mail import reply, trace_fields
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Client, LocalRoute, Recipient, RemoteRoute, Route
from emailsys.mail.reply import Reply
from emailsys.operations import IQuotas
from emailsys.policy.routing import Router
from emailsys.policy.trusted_networks import TrustedNetworks

NOBODY_IS_TRUSTED = TrustedNetworks()


@dataclass(frozen=True, slots=True)
class Access:
    """What decides for every session.

    `hostname` is what this host calls itself in Received fields; hosts in `trusted` may send to other systems without
    a login; `full` is what is replied where `quotas` has no room left, None for no quotas.
    """

    router: Router
    hostname: str
    trusted: TrustedNetworks = NOBODY_IS_TRUSTED
    quotas: IQuotas | None = None
    full: Reply = reply.MAILBOX_FULL_NOW


@implementer(IDelivery)
class Delivery:
    """What one session may do. It remembers nothing of a transaction."""

    def __init__(self, access: Access, account: Account | None) -> None:
        """@param account: who is logged in; None for a stranger."""
        self.account = account
        self._access = access
        self._router = access.router

    async def validateFrom(self, helo: Client, origin: Address | None) -> Reply | None:
        """A stranger may use any reverse-path; an account each address it receives by, and the null one.

        A session may outlive its account, or the account's leave to log in: then it may use none.
        """
        if self.account is None:
            return None
        if not await self._router.is_open(self.account):
            return reply.ACCOUNT_CLOSED
        if origin is None or LocalRoute(self.account.account_id) in await self._router.resolve(origin, helo.local_ip):
            return None
        return reply.SENDER_NOT_YOURS

    async def validateTo(self, user: Addressee) -> Sequence[Route] | Reply:
        """Addresses of ours for everyone, wherever they lead; other systems for accounts and trusted hosts."""
        routes = await self._router.resolve(user.dest, user.helo.local_ip)
        if not routes:
            return reply.NO_SUCH_MAILBOX
        if self.account is None and _leads_elsewhere(user.dest, routes) and user.helo.ip not in self._access.trusted:
            return reply.RELAY_DENIED
        if self._access.quotas is not None and await self._is_full(self._access.quotas, routes):
            return self._access.full
        return routes

    async def _is_full(self, quotas: IQuotas, routes: Sequence[Route]) -> bool:
        """Whether one of the maildrops has no room left. The message that fills one is still taken."""
        for route in routes:
            if isinstance(route, LocalRoute):
                for usage in await quotas.usage(route.account_id):
                    if usage.limit and usage.octets >= usage.limit:
                        return True
        return False

    def receivedHeader(self, helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """The Received field, folded, with its final CRLF (RFC 5321 §4.4)."""
        return trace_fields.received(self._access.hostname, helo, origin, recipients)


def _leads_elsewhere(path: Address, routes: Sequence[Route]) -> bool:
    """Whether the address itself is another system's; an alias or rewritten sender of ours leads to a different one."""
    return any(
        isinstance(route, RemoteRoute) and not route.forwarded and route.forward_path == path for route in routes
    )
