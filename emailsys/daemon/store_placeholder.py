"""Placeholder for a missing store: every request of policy and protocols raises StoreMissing."""

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
from emailsys.policy.login_check import build_portal


@implementer(IAliases, IDirectory, IIntake, IMaildrops)
class StorePlaceholder:
    """A store that answers nothing, because any answer could be wrong for the real store (decision 0023).

    RCPT gets 451, AUTH gets 454, and a POP3 login gets `-ERR [SYS/TEMP]`; senders keep their mail and try again later.

    @param why: the problem, for the operator.
    """

    def __init__(self, why: str) -> None:
        self.why = why

    def _missing(self) -> NoReturn:
        raise StoreMissing(self.why)

    async def is_local_domain(self, domain_key: str) -> bool:
        self._missing()

    async def local_domains(self) -> frozenset[str]:
        self._missing()

    async def default_domain(self) -> str:
        self._missing()

    async def find_address(self, local_key: str, domain_key: str) -> Account | None:
        self._missing()

    async def find_login(self, name_key: tuple[str, str]) -> Login | None:
        self._missing()

    async def delegated_senders(self, account_id: int) -> frozenset[tuple[str, str]]:
        self._missing()

    async def targets(self, local_key: str, domain_key: str) -> Sequence[Address]:
        self._missing()

    async def open(self, account_id: int) -> IMaildrop:
        self._missing()

    def begin(self) -> NoReturn:
        """Never reached, because no recipient is accepted."""
        self._missing()

    async def has_room(self, octets: int) -> bool:
        """Return True: MAIL succeeds, and RCPT reports the problem."""
        return True

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """Fail: the look-up of the account has failed already."""
        return fail(StoreMissing(self.why))

    def portal(self, hostname: str) -> Portal:
        """Return the portal for logins while there is no store."""
        return build_portal(self, self, self, Access(AliasRouter(self, self), hostname))
