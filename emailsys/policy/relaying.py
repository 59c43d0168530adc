"""Who may send to other systems: accounts, hosts of trusted networks, and aliases of ours for everybody."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override
from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery
from emailsys.mail import reply
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, RemoteRoute, Route
from emailsys.mail.reply import Reply
from emailsys.policy.access import Delivery
from emailsys.policy.routing import Router
from emailsys.policy.trusted import TrustedNetworks


@implementer(IDelivery)
class RelayingDelivery(Delivery):
    """What one session may do, once there is a queue to take mail for other systems."""

    def __init__(self, router: Router, hostname: str, account: Account | None, trusted: TrustedNetworks) -> None:
        super().__init__(router, hostname, account)
        self._trusted = trusted

    @override
    async def validateTo(self, user: Addressee) -> Sequence[Route] | Reply:
        """Addresses of ours for everyone, wherever they lead; other systems for accounts and trusted hosts."""
        routes = await self._router.resolve(user.dest, user.helo.local_ip)
        if not routes:
            return reply.NO_SUCH_MAILBOX
        if self.account is None and user.helo.ip not in self._trusted and _leads_elsewhere(user.dest, routes):
            return reply.RELAY_DENIED
        return routes


def _leads_elsewhere(path: Address, routes: Sequence[Route]) -> bool:
    """Whether the address itself is another system's; an alias or rewritten sender of ours leads to a different one."""
    return any(
        isinstance(route, RemoteRoute) and not route.forwarded and route.forward_path == path for route in routes
    )
