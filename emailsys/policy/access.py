"""Access rules of an SMTP session: which reverse-paths and forward-paths its client may use."""

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
from emailsys.policy.unknown_recipients import UnknownRecipients

NOBODY_IS_TRUSTED = TrustedNetworks()


@dataclass(frozen=True, slots=True)
class Access:
    """The access rules that all sessions share.

    `hostname` is the name of this host in Received fields. Hosts in `trusted` may relay without a login. `full` is the
    reply to a recipient that `quotas` has no room for. `quotas` is None if there are no quotas, `unknown` if guesses at
    recipients have no limit.
    """

    router: Router
    hostname: str
    trusted: TrustedNetworks = NOBODY_IS_TRUSTED
    quotas: IQuotas | None = None
    full: Reply = reply.MAILBOX_FULL_NOW
    unknown: UnknownRecipients | None = None


@implementer(IDelivery)
class Delivery:
    """Avatar of an SMTP session: checks senders and recipients. Keeps no state of a transaction."""

    def __init__(self, access: Access, account: Account | None) -> None:
        """@param account: the authenticated account; None for an unauthenticated client."""
        self.account = account
        self._access = access
        self._router = access.router

    async def validateFrom(self, helo: Client, origin: Address | None) -> Reply | None:
        """Return None if the client may use this reverse-path, else the reply that refuses it.

        An unauthenticated client may use any reverse-path. An account may use each address that it receives mail for,
        and the null one. If the account was removed or disabled since the login, it may use none.
        """
        if self.account is None:
            return None
        if not await self._router.is_open(self.account):
            return reply.ACCOUNT_CLOSED
        if origin is None or LocalRoute(self.account.account_id) in await self._router.resolve(origin, helo.local_ip):
            return None
        return reply.SENDER_NOT_YOURS

    async def validateTo(self, user: Addressee) -> Sequence[Route] | Reply:
        """Return the routes of a recipient, or the reply that refuses it.

        Any client may send to addresses of this system, wherever they lead. Only accounts and trusted hosts may send to
        other systems.
        """
        unknown = self._access.unknown if self.account is None else None
        if unknown is not None and unknown.has_guessed(user.helo.ip):
            return reply.TOO_MANY_UNKNOWN
        routes = await self._router.resolve(user.dest, user.helo.local_ip)
        if not routes:
            return reply.NO_SUCH_MAILBOX if unknown is None else await unknown.refuse(user.helo.ip)
        if self.account is None and _leads_elsewhere(user.dest, routes) and user.helo.ip not in self._access.trusted:
            return reply.RELAY_DENIED
        if self._access.quotas is not None and await self._is_full(self._access.quotas, routes):
            return self._access.full
        return routes

    async def _is_full(self, quotas: IQuotas, routes: Sequence[Route]) -> bool:
        """Return whether one of the maildrops has reached its quota. A message that exceeds it is still accepted."""
        for route in routes:
            if isinstance(route, LocalRoute):
                for usage in await quotas.usage(route.account_id):
                    if usage.limit and usage.octets >= usage.limit:
                        return True
        return False

    def receivedHeader(self, helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """Return the Received field, folded, with its final CRLF (RFC 5321 §4.4)."""
        return trace_fields.received(self._access.hostname, helo, origin, recipients)

    def accepted(self, helo: Client) -> None:
        """Note that a message of the client was accepted."""
        if self._access.unknown is not None and self.account is None:
            self._access.unknown.accepted(helo.ip)


def _leads_elsewhere(path: Address, routes: Sequence[Route]) -> bool:
    """Return whether the address itself belongs to another system. An alias or SRS address has a different target."""
    return any(
        isinstance(route, RemoteRoute) and not route.forwarded and route.forward_path == path for route in routes
    )
