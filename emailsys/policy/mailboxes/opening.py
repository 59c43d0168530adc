"""Opening of a plugin's mailboxes for POP3 sessions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.mail import pop3
from twisted.python.failure import Failure

from emailsys.interfaces import Account, IMaildrop, IMaildrops, MaildropInUse, MaildropLost, StoreError
from emailsys.policy.mailboxes.calls import Caller, MailboxPlugin, may_block
from emailsys.policy.mailboxes.lock import MailboxLock
from emailsys.policy.mailboxes.maildrop import MailboxMaildrop
from emailsys.policy.mailboxes.timed_maildrop import TimedMaildrop

# RFC 1939 §7: one to 70 characters in the range 0x21 to 0x7E.
_UID: Final = re.compile(rb"[!-~]{1,70}")
# Seconds that log-outs get when the daemon stops. The store is closed after them.
_STOP_SECONDS: Final = 5.0
_EXPECTED: Final = (CancelledError, StoreError, MaildropInUse, MaildropLost)


class Mailboxes:
    """Opens the mailboxes that the realm of a plugin returns.

    @param maildrops: those of the store. They are locked meanwhile, so that one session at a time has a mailbox, in
        all processes.
    """

    def __init__(self, plugin: MailboxPlugin, realm: Any, maildrops: IMaildrops) -> None:
        self._plugin = plugin
        self._realm = realm
        self._maildrops = maildrops
        # Accounts in whose mailbox a thread is, although the session is over. The next session would take another one.
        self._stuck: set[int] = set()
        self._log_outs: set[Deferred[Any]] = set()

    async def open(self, account: Account) -> IMaildrop:
        """Lock the maildrop of an account, and open its mailbox.

        @raise MaildropInUse: an active session has locked it.
        @raise StoreError: the plugin failed, and the log says so.
        """
        if account.account_id in self._stuck:
            raise StoreError(f"the plugin {self._plugin.name} has not ended an earlier session of {account.address}")
        lock: Any = await self._maildrops.open(account.account_id)
        try:
            return await self._opened(account, lock)
        except BaseException:
            lock.release()
            raise

    async def _opened(self, account: Account, lock: MailboxLock) -> IMaildrop:
        plugin, name = self._plugin, "@".join(account.address.key).encode()
        opening = Caller(plugin, may_block(self._realm), self._came_late)
        try:
            avatar = await opening.call(self._realm.requestAvatar, name, None, pop3.IMailbox, IMaildrop)
        finally:
            self._note_stuck(account, opening)
        try:
            kind, mailbox, log_out = avatar
        except (TypeError, ValueError):
            raise plugin.fault() from None
        caller = Caller(plugin, kind is not IMaildrop and may_block(mailbox), _close_late_file)
        close = partial(self._close, account, caller, log_out)
        try:
            if kind is IMaildrop:
                return TimedMaildrop(mailbox, caller, lock, close)
            return MailboxMaildrop(mailbox, caller, lock, *await _listed(mailbox, caller), close)
        except BaseException as error:
            close()
            if isinstance(error, _EXPECTED) or not isinstance(error, Exception):
                raise
            raise plugin.fault() from None

    def _note_stuck(self, account: Account, caller: Caller) -> None:
        if caller.is_running:
            self._stuck.add(account.account_id)
            caller.when_idle(partial(self._stuck.discard, account.account_id))

    def _close(self, account: Account, caller: Caller, log_out: Callable[[], object]) -> None:
        self._note_stuck(account, caller)
        caller.when_idle(partial(self._log_out, log_out))

    def _came_late(self, avatar: Any) -> None:
        if isinstance(avatar, tuple) and len(avatar) == 3:
            self._log_out(avatar[2])

    def _log_out(self, log_out: Callable[[], object]) -> None:
        ending = Deferred.fromCoroutine(Caller(self._plugin, may_block(self._realm)).call(log_out))
        self._log_outs.add(ending)
        _ = ending.addErrback(_is_logged).addBoth(lambda _: self._log_outs.discard(ending))

    async def stop(self) -> None:
        """Wait until the plugin was told of the end of all sessions, but not for long."""
        if self._log_outs:
            ended: Deferred[Any] = DeferredList(self._log_outs)
            await ended.addTimeout(_STOP_SECONDS, self._plugin.clock, lambda *_: None)


def _close_late_file(result: Any) -> None:
    """Close the file of a message for which the session no longer waits."""
    with suppress(Exception):
        result.close()


def _is_logged(failure: Failure) -> None:
    failure.trap(*_EXPECTED)


async def _listed(mailbox: Any, caller: Caller) -> tuple[Sequence[int], Sequence[bytes]]:
    """Return the sizes and the unique-ids of all messages. A message that is deleted already has no unique-id.

    @raise StoreError: the mailbox failed.
    @raise TypeError, ValueError: it has other values than it must have.
    """
    sizes = list(await caller.call(mailbox.listMessages))
    for size in sizes:
        if not isinstance(size, int):
            raise TypeError(f"listMessages returned {type(size).__name__} in place of the octets of a message")
        if size < 0:
            raise ValueError(f"listMessages returned {size} octets")
    listed = [index for index, size in enumerate(sizes) if size]
    found = await caller.each(mailbox.getUidl, [(index,) for index in listed])
    uids = [uid.encode() if isinstance(uid, str) else uid for uid in found]
    for uid in uids:
        if not isinstance(uid, bytes) or _UID.fullmatch(uid) is None:
            raise ValueError(f"getUidl returned {uid!r}, which is no unique-id (RFC 1939 §7)")
    if len(set(uids)) < len(uids):
        raise ValueError("getUidl returned the same unique-id for two messages")
    by_index = dict(zip(listed, uids, strict=True))
    return sizes, [by_index.get(index, b"") for index in range(len(sizes))]
