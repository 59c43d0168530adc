"""Mail kept in memory: an account for each address, its maildrop, and the portal that opens it."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.cred.checkers import ANONYMOUS, AllowAnonymousAccess
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.mail import pop3, smtp
from typing_extensions import override
from zope.interface import implementer

from emailsys.interfaces import Account, IDelivery, IMaildrop
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, LocalRoute
from emailsys.mail.trace_fields import delivery_prefix
from emailsys.testing.acceptance import EVERYTHING, Acceptance, AnyPassword, Boxes
from emailsys.testing.memory_intake import Accepted, MemoryIntake
from emailsys.testing.memory_maildrops import MemoryMaildrops


class MemoryKeeping:
    """Everything that a mail server needs behind its sessions.

    @ivar intake: accepts each message into the maildrops of its recipients.
    @ivar portal: everybody can log in to it.
    """

    def __init__(self, accepted: Accepted) -> None:
        """@param accepted: called with each message."""
        self._accepted = accepted
        self._maildrops = MemoryMaildrops()
        boxes = _MemoryBoxes()
        self.intake = MemoryIntake(self._accept)
        self.portal = Portal(_Realm(boxes, self._maildrops), [AllowAnonymousAccess(), AnyPassword(boxes)])

    def _accept(self, queue_id: str, envelope: Envelope, octets: bytes) -> None:
        prefixes: dict[int, bytes] = {}
        for recipient in envelope.recipients:
            for route in recipient.routes:
                # One copy for an account, even if two of the recipients are its own.
                if isinstance(route, LocalRoute) and route.account_id not in prefixes:
                    prefixes[route.account_id] = delivery_prefix(envelope.reverse_path, recipient.forward_path)
        for account_id, prefix in prefixes.items():
            self._maildrops.add(account_id, prefix, octets, smtputf8=envelope.parameters.smtputf8)
        self._accepted(queue_id, envelope, octets)


class _MemoryBoxes(Boxes):
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._accounts: dict[tuple[str, str], Account] = {}
        super().__init__(self._make(EVERYTHING))

    def _make(self, path: Address) -> Account:
        account = self._accounts[path.key] = Account(next(self._numbers), path)
        return account

    @override
    async def account(self, path: Address) -> Account | None:
        if not path.domain:
            return None
        return self._accounts.get(path.key) or self._make(path)


@implementer(IRealm)
class _Realm:
    def __init__(self, boxes: Boxes, maildrops: MemoryMaildrops) -> None:
        self._boxes, self._maildrops = boxes, maildrops

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        account = None if avatarId is ANONYMOUS else avatarId
        for interface in interfaces:
            if interface in (IDelivery, smtp.IMessageDelivery):
                return interface, Acceptance(self._boxes, account), lambda: None
            if interface in (IMaildrop, pop3.IMailbox) and account is not None:
                maildrop = self._maildrops.open(account.account_id)
                return interface, maildrop, maildrop.release
        raise UnauthorizedLogin("no mail service for this login")
