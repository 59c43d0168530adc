"""Message that is held back from the store until the checks have seen it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import IO, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from emailsys.interfaces import IHeldMessage, IIncoming, Notice, StoreFull
from emailsys.mail.envelope import Envelope

# Octets that are held in memory. A larger message goes to a temporary file, which has no name.
_IN_MEMORY: Final = 256 * 1024
# Octets of all messages together, from which on one goes to a file if it has more than the others: thousands of clients
# may stop within a message.
_ALL_IN_MEMORY: Final = 64 * 1024 * 1024
_SMALL: Final = 16 * 1024
_PIECE: Final = 256 * 1024


class _Memory:
    """The memory that all held messages of this process use."""

    octets = 0


_memory: Final = _Memory()


@implementer(IIncoming, IHeldMessage)
class HeldMessage:
    """A message whose octets are kept here until `release`.

    @param clock: between two pieces for a check, other sessions go on.
    @param folder: of the temporary file; None for that of the system.
    """

    def __init__(self, incoming: IIncoming, clock: IReactorTime, folder: str | None) -> None:
        self._incoming = incoming
        self._clock = clock
        self._folder = folder
        self.queue_id: str = incoming.queue_id
        self.octets = 0
        # Of what was written first.
        self._first_octets = 0
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    def write(self, octets: bytes) -> Deferred[None] | None:
        """Keep the next octets.

        @raise StoreFull: the temporary file cannot be written.
        """
        if not self.octets:
            self._first_octets = len(octets)
        self.octets += len(octets)
        try:
            if self.octets > _SMALL and self._file is None and self._is_too_large:
                self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115  # closed by _drop
                for piece in self._pieces:
                    _write_all(self._file, piece)
                self._free_memory()
            if self._file is not None:
                _write_all(self._file, octets)
            else:
                self._pieces.append(octets)
                _memory.octets += len(octets)
        except OSError as error:
            raise StoreFull(f"a message for the checks cannot be kept: {error}") from error
        return None

    @property
    def _is_too_large(self) -> bool:
        return self.octets > _IN_MEMORY or _memory.octets > _ALL_IN_MEMORY

    def _free_memory(self) -> None:
        _memory.octets -= sum(map(len, self._pieces))
        self._pieces = []

    @property
    def beginning(self) -> bytes:
        """The octets that were written first: the whole header section, as `IncomingMessage` writes it.

        @raise OSError: the temporary file cannot be read.
        """
        if self._file is None:
            return self._pieces[0] if self._pieces else b""
        found = b""
        self._file.seek(0)
        while len(found) < self._first_octets and (piece := self._file.read(self._first_octets - len(found))):
            found += piece
        self._file.seek(0, os.SEEK_END)
        return found

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return all octets, from the first one on."""
        for number, piece in enumerate(self._read()):
            if number:
                await deferLater(self._clock, 0)
            yield piece

    def _read(self) -> Iterator[bytes]:
        if self._file is None:
            yield b"".join(self._pieces)
            return
        at = 0
        while at < self.octets and self._file is not None:
            # Several readers may be at different positions.
            self._file.seek(at)
            piece = self._file.read(_PIECE)
            if not piece:
                raise OSError("the temporary file of a message is shorter than the message")
            at += len(piece)
            yield piece

    async def release(self, fields: bytes) -> None:
        """Write the message to the store, with header fields in front.

        @raise StoreError: it cannot be stored.
        """
        waiting = self._incoming.write(fields) if fields else None
        if waiting is not None:
            await waiting
        for piece in self._pieces or self._read():
            waiting = self._incoming.write(piece)
            if waiting is not None:
                await waiting
        self._drop()

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Commit the message. It was released before."""
        await self._incoming.commit(envelope, notices)
        self.octets = self._incoming.octets

    def abandon(self) -> None:
        """Discard the message."""
        self._drop()
        self._incoming.abandon()

    def _drop(self) -> None:
        self._free_memory()
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _write_all(file: IO[bytes], octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[file.write(left) :]
