"""Acceptance of everything: any recipient has a maildrop, any password fits, and nothing leads to another host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery, IProvenName
from emailsys.mail import reply as replies
from emailsys.mail.address import Address, AddressSyntaxError, parse
from emailsys.mail.envelope import Addressee, Arrival, Client, LocalRoute, Recipient, Route
from emailsys.mail.message.identity import Identity
from emailsys.mail.reply import Reply

#: The account whose maildrop has a copy of everything. `.invalid` is nobody's domain (RFC 2606).
EVERYTHING: Final = Address("everything", "catch.invalid")


class Boxes(ABC):
    """The accounts: one whose maildrop has a copy of everything, and one for each address, made when it is first named.

    @ivar everything: the account with everything.
    """

    def __init__(self, everything: Account) -> None:
        self.everything = everything

    @abstractmethod
    async def account(self, path: Address) -> Account | None:
        """Return the account of an address. None for what no account can have, such as <postmaster>."""

    async def routes(self, path: Address) -> tuple[Route, ...]:
        """Return where mail for an address goes."""
        own = await self.account(path)
        routes = (LocalRoute(self.everything.account_id),)
        return routes if own is None else (*routes, LocalRoute(own.account_id))

    def address_of(self, account: Account) -> Address:
        """Return the own address of an account of `of_login`."""
        is_everything = account.account_id == self.everything.account_id
        return self.everything.address if is_everything else account.address

    async def of_login(self, name: bytes) -> Account:
        """Return the account whose maildrop a user name opens: that of an address, or else the one with everything."""
        text = name.decode("utf-8", "replace")
        try:
            found = await self.account(parse(text)) if "@" in text else None
        except AddressSyntaxError:
            found = None
        # The name that was given is shown as the login of a message.
        name_given = Address(text, "") if text and "@" not in text else self.everything.address
        return replace(self.everything, address=name_given) if found is None else found


@implementer(IDelivery)
class Acceptance:
    """Policy that accepts every sender and recipient, and adds nothing to a message."""

    def __init__(self, boxes: Boxes, account: Account | None) -> None:
        self._boxes = boxes
        self.account = account

    async def validateFrom(self, helo: Client, origin: Address | None) -> Reply | None:
        """Accept any sender."""
        return None

    async def validateTo(self, user: Addressee) -> Sequence[Route] | Reply:
        """Accept any recipient, as mail for this system."""
        return await self._boxes.routes(user.dest)

    async def change_password(self, new: bytes) -> Reply:
        """There are no passwords."""
        return replies.NOT_IMPLEMENTED

    def receivedHeader(self, helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """Add no field: a test sees the message as it was sent."""
        return b""

    async def validate_identity(self, client: Client, reverse_path: Address | None, identity: Identity) -> Reply | None:
        """Accept any author."""
        return None

    def examine(self, client: Client, domains: frozenset[str]) -> bytes | Reply:
        """Mark nothing."""
        return b""

    def accepted(self, helo: Client) -> None:
        """Nothing is counted."""


@implementer(ICredentialsChecker)
class AnyPassword:
    """Checker that accepts every password."""

    credentialInterfaces = (IUsernamePassword, IProvenName)

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Return a Deferred of the account."""
        return Deferred.fromCoroutine(self._boxes.of_login(credentials.username))
