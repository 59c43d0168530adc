"""Mail kept in a store: an account for each address, its maildrop, and the portal that opens it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.cred.checkers import ANONYMOUS, AllowAnonymousAccess
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, DeferredLock
from twisted.mail import smtp
from typing_extensions import override
from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery, IIncoming, IIntake, Notice
from emailsys.interfaces.operators import AdminError
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope
from emailsys.policy.access import Access
from emailsys.policy.login_check import MailRealm
from emailsys.policy.routing import Router
from emailsys.store.open import Store
from emailsys.testing.acceptance import EVERYTHING, Acceptance, AnyPassword, Boxes


class StoredBoxes(Boxes):
    """Accounts of a store, made at their first message or login."""

    def __init__(self, store: Store) -> None:
        super().__init__(Account(0, EVERYTHING))
        self._store = store
        # Two sessions may need the same address at once.
        self._lock = DeferredLock()
        self._known: dict[tuple[str, str], Account | None] = {}
        self._domains: set[str] = set()

    async def open(self) -> None:
        """Make the maildrop with everything."""
        found = await self._make(EVERYTHING)
        assert found is not None
        self.everything = found

    @override
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


@implementer(IRealm)
class _Realm(MailRealm):
    """The daemon's realm for POP3, with the policy of tests for SMTP."""

    def __init__(self, boxes: StoredBoxes, store: Store, hostname: str) -> None:
        super().__init__(Access(Router(store.directory), hostname), store.maildrops)
        self._boxes = boxes

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        if IDelivery in interfaces or smtp.IMessageDelivery in interfaces:
            account = None if avatarId is ANONYMOUS else avatarId
            return interfaces[0], Acceptance(self._boxes, account), lambda: None
        return super().requestAvatar(avatarId, mind, *interfaces)


def open_portal(boxes: StoredBoxes, store: Store, hostname: str) -> Portal:
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
