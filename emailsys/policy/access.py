"""Access rules of an SMTP session: the sender addresses and recipients that a client may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from zope.interface import implementer

from emailsys.config.settings import ForgedFrom, ForgedSender
from emailsys.interfaces import ANY_SENDER, Account, IDelivery, StoreMissing
from emailsys.interfaces.operators import IQuotas
from emailsys.mail import reply, trace_fields
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Client, LocalRoute, Recipient, RemoteRoute, Route
from emailsys.mail.message.identity import Identity
from emailsys.mail.networks import Networks
from emailsys.mail.reply import Reply
from emailsys.policy.password_change import PasswordChanges
from emailsys.policy.routing import Router

NOBODY_IS_TRUSTED = Networks()
# Local parts whose mail is accepted even if their reader's maildrop is full.
_ALWAYS_TAKEN: Final = frozenset(("postmaster", "abuse"))


class RecipientGuesses(Protocol):
    """Limits for guessing recipients. `emailsys.policy.unknown_recipients` has them."""

    def has_guessed(self, ip: str) -> bool:
        """Return whether the network of an address has reached the limit."""

    def is_known(self, ip: str) -> bool:
        """Return whether an address need not wait."""

    def look_up(self, ip: str, resolve: Callable[[], Awaitable[Sequence[Route]]]) -> Awaitable[Sequence[Route] | Reply]:
        """Wait for the turn of an address and return what `resolve` returns, or a reply that refuses to."""

    def refuse(self, ip: str) -> Awaitable[Reply]:
        """Count an unknown recipient, and return the reply after a delay that grows."""

    def accepted(self, ip: str) -> None:
        """Note that a message from this address was accepted."""


@dataclass(slots=True)
class Access:
    """The access rules that all sessions share. A reload of the configuration changes them.

    `hostname` is the name of this host in Received fields, and its authserv-id. Hosts in `trusted` may relay without a
    login, and use any sender. Any host may send to `relay_domains`, domains of other systems, by their keys. `full` is
    the reply to a recipient that `quotas` has no room for. `quotas` is None if there are no quotas, `unknown` if
    guesses at recipients have no limit. `forged_sender` and `forged_from` are the settings for clients without a login.
    """

    router: Router
    hostname: str
    trusted: Networks = NOBODY_IS_TRUSTED
    quotas: IQuotas | None = None
    full: Reply = reply.MAILBOX_FULL_NOW
    unknown: RecipientGuesses | None = None
    passwords: PasswordChanges | None = None
    forged_sender: ForgedSender = ForgedSender.REFUSE
    forged_from: ForgedFrom = ForgedFrom.MARK
    relay_domains: frozenset[str] = frozenset()


@implementer(IDelivery)
class Delivery:
    """Avatar of an SMTP session: checks senders and recipients. Keeps no state of a transaction."""

    def __init__(self, access: Access, account: Account | None) -> None:
        """@param account: the authenticated account; None for an unauthenticated client."""
        self.account = account
        self._access = access
        self._router = access.router
        # Known from MAIL on, for a client without a login.
        self._local_domains: frozenset[str] = frozenset()

    async def validateFrom(self, helo: Client, origin: Address | None) -> Reply | None:
        """Return None if the client may use this reverse-path, else the reply that refuses it.

        An unauthenticated client may use each reverse-path of other systems, and the null one. An account may use each
        address that it receives mail for, those delegated to it, and the null one. If the account was removed or
        disabled since the login, it may use none.
        """
        if self.account is None:
            try:
                self._local_domains = await self._router.local_domains()
            except StoreMissing:
                # RCPT reports the problem.
                return None
            if origin is None or not self._is_local(origin.key[1], helo):
                return None
            return await self._forgery(helo, origin)
        if not await self._router.is_open(self.account):
            return reply.ACCOUNT_CLOSED
        if origin is None or await self._may_use(self.account, origin, helo):
            return None
        return reply.SENDER_NOT_YOURS

    async def _forgery(self, client: Client, reverse_path: Address) -> Reply | None:
        """Return the reply to a reverse-path of this system from a client without a login."""
        if self._access.forged_sender is ForgedSender.ACCEPT or client.ip in self._access.trusted:
            return None
        # Another system may forward mail back to us that we have forwarded. The rewritten sender (SRS) is signed.
        return None if await self._router.takes_bounces_only(reverse_path, client.local_ip) else reply.FORGED_SENDER

    def examine(self, client: Client, domains: frozenset[str]) -> bytes | Reply:
        """Return the fields that mark a message, or the reply that refuses it.

        A message from a client without a login that names an author of this system is marked (RFC 8601 §2.7.4).

        @param domains: those of its authors.
        """
        if self.account is not None or not any(self._is_local(domain, client) for domain in domains):
            return b""
        setting = self._access.forged_from
        if setting is ForgedFrom.ACCEPT or client.ip in self._access.trusted:
            return b""
        return (
            reply.FORGED_FROM if setting is ForgedFrom.REFUSE else trace_fields.unauthenticated(self._access.hostname)
        )

    def _is_local(self, domain: str, client: Client) -> bool:
        return domain in self._local_domains or self._router.is_own_literal(domain, client.local_ip)

    async def _may_use(self, account: Account, address: Address, client: Client) -> bool:
        """Return whether an account receives mail for an address, or may send from it by a delegation."""
        if await self._router.owns(account, address, client.local_ip):
            return True
        delegated = await self._router.delegated_senders(account)
        local, domain = address.key
        return bool(delegated) and not delegated.isdisjoint(
            (ANY_SENDER, ("", domain), (local, domain), (local.partition("+")[0], domain))
        )

    async def validate_identity(self, client: Client, reverse_path: Address | None, identity: Identity) -> Reply | None:
        """Return None if the client may send a message with this identity, else the reply that refuses it.

        The author or the sender must be an address that the account may use, and a sender that is named must be one.
        The null reverse-path is for reports: its sender would not learn that the message was not delivered. An account
        that may send from all addresses, such as that of a gateway, is not restricted.
        """
        account = self.account
        if account is None:
            return None
        refusal = await self._identity_refusal(account, client, reverse_path, identity)
        if refusal is not None and ANY_SENDER in await self._router.delegated_senders(account):
            return None
        return refusal

    async def _identity_refusal(
        self, account: Account, client: Client, reverse_path: Address | None, identity: Identity
    ) -> Reply | None:
        if reverse_path is None and not identity.is_report:
            return reply.REPORTS_ONLY
        if not identity.authors:
            return reply.FROM_MALFORMED
        if identity.senders is None or len(identity.senders) > 1:
            return reply.SENDER_MALFORMED
        # RFC 5322 §3.6.2: the sender, if there is one, is responsible for the message instead of the authors.
        name, responsible = ("Sender", identity.senders) if identity.senders else ("From", identity.authors)
        for address in responsible:
            # `validateFrom` has checked the reverse-path.
            if address != reverse_path and not await self._may_use(account, address, client):
                return reply.not_yours(name, str(address))
        return None

    async def validateTo(self, user: Addressee) -> Sequence[Route] | Reply:
        """Return the routes of a recipient, or the reply that refuses it.

        Any client may send to addresses of this system, wherever they lead. Only accounts and trusted hosts may send to
        other systems.
        """
        unknown = self._access.unknown if self.account is None else None
        if unknown is not None and unknown.has_guessed(user.helo.ip):
            return reply.TOO_MANY_UNKNOWN
        if unknown is None or unknown.is_known(user.helo.ip):
            routes = await self._routes(user)
        else:
            found = await unknown.look_up(user.helo.ip, lambda: self._routes(user))
            if isinstance(found, Reply):
                return found
            routes = found
        if not routes:
            return reply.NO_SUCH_MAILBOX if unknown is None else await unknown.refuse(user.helo.ip)
        local = user.dest.key[0]
        may_be_srs = user.orig is not None and local.startswith("srs")
        if may_be_srs and await self._router.takes_bounces_only(user.dest, user.helo.local_ip):
            return reply.BOUNCES_ONLY
        if self.account is None and _leads_elsewhere(user.dest, routes) and not self._may_relay(user):
            return reply.RELAY_DENIED
        # RFC 5321 §4.5.1: mail to the postmaster is accepted, and RFC 2142 §4 requires the same of abuse.
        if self._access.quotas is None or local in _ALWAYS_TAKEN:
            return routes
        return await self._with_room(self._access.quotas, routes)

    def _may_relay(self, user: Addressee) -> bool:
        """Return whether a client without a login may send to an address of another system."""
        access = self._access
        return user.dest.key[1] in access.relay_domains or user.helo.ip in access.trusted

    async def _routes(self, user: Addressee) -> Sequence[Route]:
        return await self._router.resolve(user.dest, user.helo.local_ip, user.orig)

    async def _with_room(self, quotas: IQuotas, routes: Sequence[Route]) -> Sequence[Route] | Reply:
        """Return the routes, those to full maildrops marked. If all are full, the reply that refuses the recipient.

        RFC 5321 §3.9.1: a member of an alias that cannot receive is no reason to refuse the others. A message that
        exceeds a quota is still accepted; only the next one is not.
        """
        full = []
        for route in routes:
            full.append(isinstance(route, LocalRoute) and await _is_full(quotas, route))
        if True not in full:
            return routes
        if all(full):
            return self._access.full
        return tuple(
            LocalRoute(route.account_id, is_full=True) if is_full and isinstance(route, LocalRoute) else route
            for route, is_full in zip(routes, full, strict=True)
        )

    async def change_password(self, new: bytes) -> Reply:
        """Replace the password of the account, whose old one was verified. Returns the reply to send."""
        if self.account is None or self._access.passwords is None:
            return reply.NOT_IMPLEMENTED
        return await self._access.passwords.change(self.account, new)

    def receivedHeader(self, helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """Return the Received field, folded, with its final CRLF (RFC 5321 §4.4)."""
        return trace_fields.received(self._access.hostname, helo, origin, recipients)

    def accepted(self, helo: Client) -> None:
        """Note that a message of the client was accepted."""
        if self._access.unknown is not None and self.account is None:
            self._access.unknown.accepted(helo.ip)


async def _is_full(quotas: IQuotas, route: LocalRoute) -> bool:
    """Return whether a maildrop, or its domain, has reached its quota."""
    account, domain = await quotas.usage(route.account_id)
    return 0 < account.limit <= account.octets or 0 < domain.limit <= domain.octets


def _leads_elsewhere(path: Address, routes: Sequence[Route]) -> bool:
    """Return whether the address itself belongs to another system. An alias or SRS address has a different target."""
    for route in routes:
        if isinstance(route, RemoteRoute) and not route.forwarded and route.forward_path == path:
            return True
    return False
