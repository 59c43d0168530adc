"""Who may send as whom and to whom: the avatar of an SMTP session, a stranger's or an account's."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery
from emailsys.mail import reply, trace
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Client, LocalRoute, Recipient, RemoteRoute, Route
from emailsys.mail.reply import Reply
from emailsys.policy.routing import Router


@implementer(IDelivery)
class Delivery:
    """What one session may do. It remembers nothing of a transaction."""

    def __init__(self, router: Router, hostname: str, account: Account | None) -> None:
        """
        @param hostname: what this host calls itself in Received fields.
        @param account: who is logged in; None for a stranger.
        """
        self.account = account
        self._router = router
        self._hostname = hostname

    async def validateFrom(self, helo: Client, origin: Address | None) -> Reply | None:
        """A stranger may use any reverse-path; an account its own addresses, with or without +tag, and the null one.

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
        """Local addresses for everyone; other systems for nobody, until there is a runner for the queue."""
        routes = await self._router.resolve(user.dest, user.helo.local_ip)
        if not routes:
            return reply.NO_SUCH_MAILBOX
        if any(isinstance(route, RemoteRoute) for route in routes):
            return reply.RELAY_DENIED if self.account is None else reply.NO_REMOTE_DELIVERY
        return routes

    def receivedHeader(self, helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """The Received field, folded, with its final CRLF (RFC 5321 §4.4)."""
        return trace.received(self._hostname, helo, origin, recipients)
