"""Contract of the mailboxes of a realm (`pop3.IMailbox`), as the daemon serves them."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from emailsys.interfaces import Account, IMaildrops, MaildropInUse
from emailsys.mail.address import parse
from emailsys.policy.checks.calls import Calls
from emailsys.policy.mailboxes.calls import MailboxPlugin
from emailsys.policy.mailboxes.opening import Mailboxes
from emailsys.policy.mailboxes.threads import PluginThreads
from emailsys.telemetry import Telemetry
from emailsys.testing.contracts.maildrop import MaildropContract

#: Whose mailbox the tests open.
ADDRESS: Final = "alice@example.test"
_DEADLINE: Final = 60.0
_THREADS: Final = 4


class MailboxContract(MaildropContract):
    """Tests of one mailbox. A subclass overrides `put` and `make_realm`.

    Each test begins with an empty mailbox of `alice@example.test`.
    """

    def make_realm(self) -> Any:
        """Return the realm, as the entry point of the package makes it."""
        raise AssertionError(f"{type(self).__name__} makes no realm")

    async def open_maildrop(self) -> Any:
        if self._mailboxes is None:
            self._mailboxes = self._made()
        return await self._mailboxes.open(Account(1, parse(ADDRESS)))

    _mailboxes: Mailboxes | None = None

    def _made(self) -> Mailboxes:
        # Imported here: the first import installs the reactor.
        from twisted.internet import reactor

        running: Any = reactor
        telemetry = _Telemetry(self)
        threads = PluginThreads(running, _THREADS)
        plugin = MailboxPlugin("contract", Calls(running, _DEADLINE, telemetry), threads, running, telemetry)
        mailboxes = Mailboxes(plugin, self.make_realm(), _Locks())
        self.addCleanup(threads.stop)
        self.addCleanup(lambda: Deferred.fromCoroutine(mailboxes.stop()))
        return mailboxes


class _Telemetry(Telemetry):
    """Fails a test whose mailbox raises an exception."""

    def __init__(self, test: Any) -> None:
        super().__init__()
        self._test = test

    def exception(self, name: str, failure: Any, /, **fields: Any) -> None:
        self._test.addCleanup(failure.raiseException)


@implementer(IMaildrops)
class _Locks:
    """In place of the maildrops of the store."""

    def __init__(self) -> None:
        self.is_locked = False

    async def open(self, account_id: int) -> Any:
        """Lock the only account."""
        if self.is_locked:
            raise MaildropInUse
        self.is_locked = True
        return _Lock(self)


class _Lock:
    def __init__(self, locks: _Locks) -> None:
        self._locks = locks

    def sync(self) -> Deferred[None]:
        return succeed(None)

    def touch(self) -> None:
        """No other session takes the maildrop over."""

    def release(self) -> None:
        self._locks.is_locked = False
