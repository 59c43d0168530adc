"""Stand in for a store that is missing: every question of policy and protocols is answered with StoreMissing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from emailsys.interfaces import Account, IAliases, IDirectory, IIntake, IMaildrop, IMaildrops, Login, StoreMissing
from emailsys.mail.address import Address
from emailsys.policy.access import Access
from emailsys.policy.expansion import AliasRouter
from emailsys.policy.login import build_portal


@implementer(IAliases, IDirectory, IIntake, IMaildrops)
class Absence:
    """What a store answers that is not there: nothing that would be true of the one that should be (decision 0023).

    Through it RCPT hears 451, AUTH 454 and a POP3 login `-ERR [SYS/TEMP]`; a sender keeps its mail and comes again.

    @param why: what is wrong, for the operator.
    """

    def __init__(self, why: str) -> None:
        self.why = why

    def _missing(self) -> NoReturn:
        raise StoreMissing(self.why)

    async def is_local_domain(self, domain_key: str) -> bool:
        self._missing()

    async def default_domain(self) -> str:
        self._missing()

    async def find_address(self, local_key: str, domain_key: str) -> Account | None:
        self._missing()

    async def find_login(self, name_key: tuple[str, str]) -> Login | None:
        self._missing()

    async def targets(self, local_key: str, domain_key: str) -> Sequence[Address]:
        self._missing()

    async def open(self, account_id: int) -> IMaildrop:
        self._missing()

    def begin(self) -> NoReturn:
        """No recipient was taken, so that nothing gets here."""
        self._missing()

    async def has_room(self, octets: int) -> bool:
        """MAIL passes: it is RCPT that tells what is wrong."""
        return True

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """A password, whose account was looked for in vain already."""
        return fail(StoreMissing(self.why))

    def portal(self, hostname: str) -> Portal:
        """What the sessions log in by meanwhile."""
        return build_portal(self, self, self, Access(AliasRouter(self, self), hostname))
