"""Intake: commits each message with its body and rows in one transaction; stages large bodies as they arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.interfaces import IIncoming, IIntake, Notice, StoreError
from emailsys.mail.envelope import Envelope
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import id_text
from emailsys.store.commit.jobs import Rows
from emailsys.store.message.rows import PIECE_OCTETS, address_rows, may_have_dots, notice_rows
from emailsys.store.schema import tables
from emailsys.store.schema.columns import of_seconds
from emailsys.store.schema.rows import BodyRow, MaildropRow, PieceRow, StagedRow
from emailsys.telemetry import Telemetry

# Octets of one message's pieces that may wait for their commit before its client is paused.
_OUTSTANDING_OCTETS: Final = 1024 * 1024
# If all messages together hold too much memory, pieces of at least this size are staged before they are full.
_SMALL_PIECE_OCTETS: Final = 16 * 1024
# Free disk space that a message needs, as a multiple of its size: the message, and half of that for the WAL and other
# pages. RFC 1870 §6 leaves the definition of "insufficient storage" to the server.
ROOM: Final = 1.5
# Seconds between two checks of the free disk space. A check for each message would cost one more system call.
_CHECK_EVERY: Final = 0.25


@implementer(IIntake)
class Intake:
    """Accepts messages into the store."""

    def __init__(
        self,
        database: Database,
        telemetry: Telemetry,
        max_held_octets: int,
        now: Callable[[], float] = time.time,
        stored: Callable[[Sequence[MaildropRow]], None] | None = None,
    ) -> None:
        """
        @param max_held_octets: octets of all bodies together that are held before they are passed to the database.
        @param now: seconds since 1970.
        @param stored: called with the maildrop rows after each commit.
        """
        self.database = database
        self.telemetry = telemetry
        self.max_held_octets = max_held_octets
        self.held_octets = 0
        self.now = now
        self._free: int | None = None
        self._next_check = float("-inf")
        self.stored = stored

    def begin(self) -> Incoming:
        """Begin a new, empty message."""
        return Incoming(self)

    async def has_room(self, octets: int) -> bool:
        """Whether the disk has 1.5 times as many octets free (statvfs, without the part reserved for root).

        On PostgreSQL always True: the free space is unknown here. A full disk is reported at the commit.
        """
        now = self.database.seconds()
        if now >= self._next_check:
            self._next_check = now + _CHECK_EVERY
            self._free = self.database.engine.free_octets()
        return self._free is None or self._free >= ROOM * octets


@implementer(IIncoming)
class Incoming:
    """A message that is arriving: collects the body, then commits it with the envelope."""

    __slots__ = (
        "_all_written",
        "_chunks",
        "_ended",
        "_error",
        "_held",
        "_intake",
        "_message_id",
        "_outstanding",
        "_paused",
        "_pieces",
        "_staging",
        "_sweeping",
        "octets",
        "queue_id",
    )

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._message_id = intake.database.ids.make()
        self.queue_id = id_text(self._message_id)
        self.octets = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._pieces = 0
        # Octets of pieces that wait for their commit. The first Deferred fires when they are fewer, the other when none
        # waits.
        self._outstanding = 0
        self._paused: Deferred[None] | None = None
        self._all_written: Deferred[None] | None = None
        self._error: Failure | None = None
        self._ended = False

    def write(self, octets: bytes) -> Deferred[None] | None:
        """Add octets to the body.

        @return: None, or a Deferred to wait for before the next call. The limits on octets that wait for their commit
            are 1 MiB for this message and StoreSettings.max_waiting_octets for all.
        """
        if self._error is not None:
            return fail(self._error)
        if self._ended:
            # A client may continue to send after its message was abandoned. These octets are discarded.
            return None
        intake = self._intake
        size = len(octets)
        self.octets += size
        self._held += size
        intake.held_octets += size
        self._chunks.append(octets)
        if self._held > PIECE_OCTETS:
            self._stage_full_pieces()
        elif intake.held_octets > intake.max_held_octets and self._held >= _SMALL_PIECE_OCTETS:
            self._stage(self._take_held())
        if self._outstanding >= _OUTSTANDING_OCTETS:
            self._paused = Deferred()
            return self._paused
        return intake.database.backpressure(is_small=self._pieces == 0 and self._held < _SMALL_PIECE_OCTETS)

    def _take_held(self) -> bytes:
        held = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._intake.held_octets -= self._held
        self._held = 0
        return held

    def _stage_full_pieces(self) -> None:
        held = self._take_held()
        start = 0
        # The last piece stays in memory, even if it is full: it is committed with the message.
        while len(held) - start > PIECE_OCTETS:
            self._stage(held[start : start + PIECE_OCTETS])
            start += PIECE_OCTETS
        rest = held[start:]
        self._chunks.append(rest)
        self._held = len(rest)
        self._intake.held_octets += self._held

    def _stage(self, piece: bytes) -> None:
        database = self._intake.database
        size = len(piece)
        rows = Rows("stage", size)
        if self._pieces == 0:
            rows.bodies.append(BodyRow(self._message_id, may_have_dots(piece), piece))
            rows.staged.append(StagedRow(self._message_id, database.ids.node))
        else:
            rows.pieces.append(PieceRow(self._message_id, self._pieces, may_have_dots(piece), piece))
        self._pieces += 1
        self._outstanding += size
        # `_staged` handles failures, too, so no errback is needed.
        self._staging = database.stage(rows).addBoth(self._staged, size)

    def _staged(self, result: object, size: int) -> None:
        self._outstanding -= size
        if isinstance(result, Failure) and self._error is None:
            self._error = result
        if self._paused is not None and (self._error is not None or self._outstanding < _OUTSTANDING_OCTETS):
            paused, self._paused = self._paused, None
            if not paused.called:
                if self._error is not None and not self._ended:
                    paused.errback(self._error)
                else:
                    paused.callback(None)
        if self._outstanding == 0 and self._all_written is not None:
            waiting, self._all_written = self._all_written, None
            if not waiting.called:
                waiting.callback(None)

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Commit the message with its body, maildrop rows, queue rows and notices. Returns when all is on disk.

        @raise StoreError: nothing was accepted.
        """
        if self._ended:
            raise StoreError("the message has already ended")
        self._ended = True
        rows = Rows("accept", self._held)
        tail = self._take_held() if self._chunks else b""
        try:
            if self._pieces == 0:
                rows.bodies.append(BodyRow(self._message_id, may_have_dots(tail), tail))
                self._pieces = 1
            else:
                await self._wait_for_pieces()
                rows.pieces.append(PieceRow(self._message_id, self._pieces, may_have_dots(tail), tail))
                self._pieces += 1
                rows.unstage = self._message_id
            make, due_at = self._intake.database.ids.make, of_seconds(self._intake.now())
            address_rows(rows, self._message_id, envelope, self.octets, self._pieces, make, due_at)
            for notice in notices:
                notice_rows(rows, notice, make, due_at, self._message_id)
            await self._intake.database.insert(rows)
            if self._intake.stored is not None:
                self._intake.stored(rows.maildrop)
        except BaseException:
            if rows.unstage is not None or not rows.bodies:
                self._sweep()
            raise

    async def _wait_for_pieces(self) -> None:
        if self._outstanding:
            self._all_written = Deferred()
            await self._all_written
        if self._error is not None:
            self._error.raiseException()

    def abandon(self) -> None:
        """Discard the message. The sweeper deletes staged pieces."""
        if self._ended:
            return
        self._ended = True
        if self._chunks:
            self._take_held()
        if self._pieces:
            self._sweep()

    def _sweep(self) -> None:
        """Pass the staged pieces to the sweeper when all of them are written."""
        sweeping = Deferred.fromCoroutine(self._pass_to_sweeper())
        self._sweeping = sweeping.addErrback(
            lambda failure: self._intake.telemetry.exception("store-sweep-exception", failure)
        )

    async def _pass_to_sweeper(self) -> None:
        if self._outstanding:
            self._all_written = Deferred()
            await self._all_written
        message_id = self._message_id

        def release_pieces(connection: Connection) -> None:
            given = connection.execute(tables.staged.delete().where(tables.staged.c.body_id == message_id))
            if given.rowcount:
                connection.execute(tables.reclaim.insert().values(row_id=message_id, message_id=message_id))

        try:
            await self._intake.database.run("abandon", release_pieces)
        except StoreError as error:
            # The next start of the daemon finds the pieces.
            self._intake.telemetry.event("store-sweep-postponed", queue_id=self.queue_id, error=str(error))
