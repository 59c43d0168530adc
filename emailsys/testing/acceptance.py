"""Acceptance of everything: any recipient has a maildrop, any password fits, and nothing leads to another host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from twisted.cred.checkers import ANONYMOUS, AllowAnonymousAccess, ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, DeferredLock
from twisted.mail import smtp
from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery, IIncoming, IIntake, IProvenName, Notice
from emailsys.interfaces.operators import AdminError
from emailsys.mail import reply as replies
from emailsys.mail.address import Address, AddressSyntaxError, parse
from emailsys.mail.envelope import Addressee, Arrival, Client, Envelope, LocalRoute, Recipient, Route
from emailsys.mail.message.identity import Identity
from emailsys.mail.reply import Reply
from emailsys.policy.access import Access
from emailsys.policy.login_check import MailRealm
from emailsys.policy.routing import Router
from emailsys.store.open import Store

#: The account whose maildrop has a copy of everything. `.invalid` is nobody's domain (RFC 2606).
EVERYTHING: Final = Address("everything", "catch.invalid")


class Routing(Protocol):
    """Where mail goes, and whose mail a login opens."""

    async def routes(self, path: Address) -> tuple[Route, ...]:
        """Return where mail for an address goes."""

    async def of_login(self, name: bytes) -> Account:
        """Return the account of a user name."""


class Boxes:
    """The maildrops: one with everything, and one for each address, made at its first message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Two sessions may need the same address at once.
        self._lock = DeferredLock()
        self._known: dict[tuple[str, str], Account | None] = {}
        self._domains: set[str] = set()
        self.everything = Account(0, EVERYTHING)

    async def open(self) -> None:
        """Make the maildrop with everything."""
        found = await self._make(EVERYTHING)
        assert found is not None
        self.everything = found

    async def routes(self, path: Address) -> tuple[Route, ...]:
        """Return where mail for an address goes."""
        own = await self.account(path)
        routes = (LocalRoute(self.everything.account_id),)
        return routes if own is None else (*routes, LocalRoute(own.account_id))

    async def account(self, path: Address) -> Account | None:
        """Return the account of an address. None for what no account can have, such as user@[192.0.2.1]."""
        if path.key in self._known:
            return self._known[path.key]
        await self._lock.acquire()
        try:
            if path.key not in self._known:
                self._known[path.key] = await self._make(path) if path.domain else None
            return self._known[path.key]
        finally:
            self._lock.release()

    async def _make(self, path: Address) -> Account | None:
        local, domain = path.key
        accounts, directory = self._store.accounts, self._store.directory
        try:
            if domain not in self._domains:
                if domain not in await directory.local_domains():
                    await accounts.add_domain(path.domain, Address("postmaster", path.domain))
                self._domains.add(domain)
            found = await directory.find_address(local, domain)
            if found is None:
                await accounts.add_user(path, ())
                found = await directory.find_address(local, domain)
        except AdminError:
            # A role of the domain, or a domain that no store can have.
            found = await directory.find_address(local, domain) if domain in self._domains else None
        return found

    def address_of(self, account: Account) -> Address:
        """Return the address that the store has for an account of `of_login`."""
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

    def __init__(self, boxes: Routing, account: Account | None) -> None:
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

    def __init__(self, boxes: Routing) -> None:
        self._boxes = boxes

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Return a Deferred of the account."""
        return Deferred.fromCoroutine(self._boxes.of_login(credentials.username))


@implementer(IRealm)
class _Realm(MailRealm):
    """The daemon's realm for POP3, with the policy of tests for SMTP."""

    def __init__(self, boxes: Boxes, store: Store, hostname: str) -> None:
        super().__init__(Access(Router(store.directory), hostname), store.maildrops)
        self._boxes = boxes

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        if IDelivery in interfaces or smtp.IMessageDelivery in interfaces:
            account = None if avatarId is ANONYMOUS else avatarId
            return interfaces[0], Acceptance(self._boxes, account), lambda: None
        return super().requestAvatar(avatarId, mind, *interfaces)


def open_portal(boxes: Boxes, store: Store, hostname: str) -> Portal:
    """Return a portal that everybody can log in to."""
    return Portal(_Realm(boxes, store, hostname), [AllowAnonymousAccess(), AnyPassword(boxes)])


#: Called with queue id, envelope and octets of a message that was committed.
Captured = Callable[[str, Envelope, bytes], object]


@implementer(IIntake)
class CapturingIntake:
    """The store's intake, which also tells of each message that was committed."""

    def __init__(self, intake: IIntake, captured: Captured) -> None:
        self._intake = intake
        self._captured = captured

    def begin(self) -> IIncoming:
        """Begin a message."""
        incoming: IIncoming = _Capturing(self._intake.begin(), self._captured)
        return incoming

    async def has_room(self, octets: int) -> bool:
        """A test's disk may be smaller than the largest message. A full disk is noticed at the commit."""
        return True


@implementer(IIncoming)
class _Capturing:
    def __init__(self, incoming: IIncoming, captured: Captured) -> None:
        self._incoming = incoming
        self._captured = captured
        self._octets: list[bytes] = []
        self.queue_id = incoming.queue_id

    @property
    def octets(self) -> int:
        return self._incoming.octets

    def write(self, octets: bytes) -> Deferred[None] | None:
        self._octets.append(octets)
        return self._incoming.write(octets)

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        await self._incoming.commit(envelope, notices)
        self._captured(self.queue_id, envelope, b"".join(self._octets))

    def abandon(self) -> None:
        self._incoming.abandon()
