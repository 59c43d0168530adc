"""A stock `pop3.IMailbox` as the maildrop of a POP3 session: lists and marks in memory, deletes at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, Any, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import IMaildrop, StoreError
from emailsys.policy.mailboxes.calls import Caller
from emailsys.policy.mailboxes.copying import MessageCopy
from emailsys.policy.mailboxes.lock import MailboxLock

_PIECE: Final = 256 * 1024


@implementer(IMaildrop)
class MailboxMaildrop:
    """The maildrop. No message is deleted in the mailbox before `sync`: a session that is cut off deletes none."""

    loginDelay = 0
    messageExpiration = None
    listings = None
    # RFC 1939 counts CRLF for each line, and many mailboxes count LF.
    has_exact_sizes = False

    def __init__(
        self,
        mailbox: Any,
        caller: Caller,
        lock: MailboxLock,
        sizes: Sequence[int],
        uids: Sequence[bytes],
        close: Callable[[], object],
    ) -> None:
        """
        @param caller: calls the methods of the mailbox.
        @param close: logs out of the plugin, once no thread is in the mailbox.
        """
        self._mailbox = mailbox
        self._caller = caller
        self._lock = lock
        self._sizes, self._uids = sizes, uids
        self._close = close
        self._deleted: set[int] = set()
        self._purged: set[int] = set()
        self._released = False

    def _valid_index(self, index: int) -> int:
        if not 0 <= index < len(self._sizes):
            raise ValueError("no such message")
        return index

    def _is_deleted(self, index: int) -> bool:
        return index in self._deleted or index in self._purged

    def listMessages(self, i: int | None = None) -> Any:
        """Return the octets of a message, or of all messages, as the mailbox said: 0 for deleted ones."""
        if i is None:
            return [0 if self._is_deleted(index) else size for index, size in enumerate(self._sizes)]
        return 0 if self._is_deleted(self._valid_index(i)) else self._sizes[i]

    def getUidl(self, index: int) -> bytes:
        """Return the unique-id that the mailbox gave."""
        return self._uids[self._valid_index(index)]

    def deleteMessage(self, index: int) -> None:
        """Mark a message as deleted, in memory until `sync`."""
        self._deleted.add(self._valid_index(index))

    def undeleteMessages(self) -> None:
        """Unmark the messages that `sync` has not deleted."""
        self._deleted.clear()

    def needs_utf8(self, index: int) -> bool:
        """Return False: the mailbox does not tell, so that its messages are sent as they are."""
        self._valid_index(index)
        return False

    def whole_message(self, index: int) -> None:
        """Return None: nothing is read ahead."""

    def getMessage(self, index: int) -> Deferred[IO[bytes]]:
        """Return a Deferred of a file with the message."""
        self._valid_index(index)

        async def file() -> IO[bytes]:
            return (await self._copied(index)).file()

        return Deferred.fromCoroutine(file())

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Return the message in pieces, once it was read completely.

        @raise MaildropLost: another session took over the maildrop.
        @raise StoreError: the mailbox failed.
        """
        copy = await self._copied(self._valid_index(index))
        try:
            while piece := copy.read(_PIECE):
                yield piece, True
        finally:
            copy.close()

    async def _copied(self, index: int) -> MessageCopy:
        await self._lock.sync()
        copy = MessageCopy(await self._caller.call(self._mailbox.getMessage, index), self._sizes[index])
        try:
            while not await self._caller.call(copy.take):
                self.touch()
        except BaseException:
            self._caller.when_idle(copy.close)
            raise
        self.touch()
        return copy

    def sync(self) -> Deferred[None]:
        """Delete the marked messages in the mailbox. The Deferred fires when its own `sync` has ended.

        @raise MaildropLost: (in the Deferred) another session took over the maildrop.
        @raise StoreError: (in the Deferred) the mailbox failed, and was told to undelete.
        """
        return Deferred.fromCoroutine(self._sync())

    async def _sync(self) -> None:
        # It has no message of its own to delete, and raises if the lock is lost.
        await self._lock.sync()
        marked = sorted(self._deleted - self._purged)
        if not marked:
            return
        try:
            await self._caller.each(self._mailbox.deleteMessage, [(index,) for index in marked])
            self.touch()
            await self._caller.call(self._mailbox.sync)
        except StoreError:
            # Raises a StoreError of its own if that fails, too.
            await self._caller.call(self._mailbox.undeleteMessages)
            raise
        self._purged.update(marked)

    def touch(self) -> None:
        """Note activity of the client."""
        self._lock.touch()

    def release(self) -> None:
        """Release the lock, and log out of the plugin. A second call does nothing."""
        if not self._released:
            self._released = True
            self._lock.release()
            self._close()
