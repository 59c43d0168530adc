"""Maildrops in memory, which POP3 opens."""

from __future__ import annotations

import io
import secrets
from collections.abc import AsyncIterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from emailsys.interfaces import IMaildrop, MaildropInUse

_PIECE_OCTETS: Final = 256 * 1024
_UID_OCTETS: Final = 6


@dataclass(frozen=True, slots=True)
class _Kept:
    uid: bytes
    prefix: bytes
    body: bytes
    smtputf8: bool

    @property
    def size(self) -> int:
        return len(self.prefix) + len(self.body)

    @property
    def octets(self) -> bytes:
        return self.prefix + self.body


class MemoryMaildrops:
    """The maildrops of all accounts. An account without mail has an empty one."""

    def __init__(self) -> None:
        self._kept: dict[int, list[_Kept]] = {}
        self._locked: set[int] = set()
        # A client may remember the unique-ids of an earlier mail system on the same port.
        self._beginning = secrets.token_hex(_UID_OCTETS)
        self._count = 0

    def add(self, account_id: int, prefix: bytes, body: bytes, *, smtputf8: bool = False) -> None:
        """Add a message, with header fields in front of it. A session that is open does not see it."""
        self._count += 1
        uid = f"{self._beginning}{self._count:08d}".encode()
        self._kept.setdefault(account_id, []).append(_Kept(uid, prefix, body, smtputf8))

    def open(self, account_id: int) -> MemoryMaildrop:
        """Lock a maildrop until its `release`.

        @raise MaildropInUse: another session has locked it.
        """
        if account_id in self._locked:
            raise MaildropInUse
        self._locked.add(account_id)
        return MemoryMaildrop(self, account_id, tuple(self._kept.get(account_id, ())))

    def delete(self, account_id: int, gone: set[bytes]) -> None:
        """Delete messages by their unique-ids."""
        self._kept[account_id] = [one for one in self._kept.get(account_id, ()) if one.uid not in gone]

    def unlock(self, account_id: int) -> None:
        """Release the lock of a maildrop."""
        self._locked.discard(account_id)


@implementer(IMaildrop)
class MemoryMaildrop:
    """An open, locked maildrop."""

    # The names of pop3.IMailbox for LOGIN-DELAY and EXPIRE (RFC 2449 §6.5, §6.7): no delay, no expiry.
    loginDelay = 0
    messageExpiration = None
    has_exact_sizes = True

    def __init__(self, maildrops: MemoryMaildrops, account_id: int, messages: Sequence[_Kept]) -> None:
        self._maildrops, self._account_id, self._messages = maildrops, account_id, messages
        self._deleted: set[int] = set()
        self._purged: frozenset[int] = frozenset()
        self._listings: dict[str, bytes] = {}
        self._is_released = False

    def _message(self, index: int) -> _Kept:
        # -1 must not select the last message.
        if not 0 <= index < len(self._messages):
            raise ValueError("no such message")
        return self._messages[index]

    def listMessages(self, i: int | None = None) -> Any:
        """Return the octets of a message, or of all messages: 0 for deleted ones."""
        if i is None:
            return [0 if at in self._deleted else one.size for at, one in enumerate(self._messages)]
        return 0 if i in self._deleted else self._message(i).size

    @property
    def listings(self) -> MutableMapping[str, bytes] | None:
        """The listings that this session has already made; None once it has deleted a message."""
        return None if self._deleted else self._listings

    def getMessage(self, index: int) -> Deferred[IO[bytes]]:
        """Return a Deferred of a file with the message."""
        file: IO[bytes] = io.BytesIO(self._message(index).octets)
        return succeed(file)

    def getUidl(self, index: int) -> bytes:
        """Return the unique-id of a message."""
        return self._message(index).uid

    def needs_utf8(self, index: int) -> bool:
        """Return whether a message is an SMTPUTF8 message (RFC 6856 §2)."""
        return self._message(index).smtputf8

    def whole_message(self, index: int) -> tuple[bytes, bool] | None:
        """Return a small message at once, and whether a line may begin with a dot."""
        if not 0 <= index < len(self._messages) or index in self._deleted:
            return None
        message = self._messages[index]
        if message.smtputf8 or message.size > _PIECE_OCTETS:
            return None
        return message.octets, _may_have_dots(message.octets)

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Return a message in pieces of at most 256 KiB."""
        octets = self._message(index).octets
        for start in range(0, len(octets), _PIECE_OCTETS):
            piece = octets[start : start + _PIECE_OCTETS]
            yield piece, _may_have_dots(piece)

    def deleteMessage(self, index: int) -> None:
        """Mark a message as deleted."""
        self._message(index)
        self._deleted.add(index)

    def undeleteMessages(self) -> None:
        """Remove all marks, but not those of messages that `sync` has deleted."""
        self._deleted = set(self._purged)

    def sync(self) -> Deferred[None]:
        """Delete the marked messages."""
        self._purged = frozenset(self._deleted)
        self._maildrops.delete(self._account_id, {self._messages[index].uid for index in self._purged})
        return succeed(None)

    def touch(self) -> None:
        """No other session takes the maildrop over."""

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if not self._is_released:
            self._is_released = True
            self._maildrops.unlock(self._account_id)


def _may_have_dots(piece: bytes) -> bool:
    return piece.startswith(b".") or b"\n." in piece
