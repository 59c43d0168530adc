"""What waits to be sent: on disk before anything is sent, until the server has taken it or a person takes it back."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from pathlib import Path
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import (
    DRAFTS,
    OUTBOX,
    SENT,
    Addition,
    Flag,
    NoSuchMessage,
    Place,
    Summary,
)
from emailsys.client.base.process_lock import LockTaken, ProcessLock
from emailsys.client.compose.message_builder import Composed
from emailsys.client.send.note import Notices, OutboxNote, Refusal, note_from

__all__ = ["Job", "LockTaken", "Notices", "Outbox", "Queued", "Refusal", "State", "StopResult"]

_PAGE: Final = 500


class State(enum.Enum):
    """What can still be done with a message in the outbox."""

    #: Held until `due`: it can be stopped.
    HELD = "held"
    #: It goes with the next `flush`: it can be stopped.
    WAITING = "waiting"
    #: A program is sending it now: it cannot be stopped any more.
    SENDING = "sending"
    #: The server refused it for good: it stays until a person edits, retries or deletes it.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Queued:
    """A message in the outbox. `recipients` are those that did not get it yet. `attempts` were made so far;
    `last_problem` says why the last one failed, "" if none did. `may_be_sent`: the last attempt broke off after the
    whole message was on its way, or its program died; the server may have it."""

    key: str
    account: str
    state: State
    due: datetime
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    octets: int
    attempts: int = 0
    last_problem: str = ""
    refusals: tuple[Refusal, ...] = ()
    accepted: tuple[str, ...] = ()
    may_be_sent: bool = False


@dataclass(frozen=True, slots=True)
class StopResult:
    """Whether a message could be stopped, and in words what became of it; `draft` is its key in Drafts."""

    stopped: bool
    words: str
    draft: str | None = None


@dataclass(slots=True)
class Job:
    """A message that is being sent by this program, and by nobody else until `Outbox.end`."""

    key: str
    account: str
    path: Path
    octets: int
    note: OutboxNote
    lock: ProcessLock


class Outbox:
    """Messages that wait to be sent, in the folder Outbox of each account. Blocking: call it from a thread."""

    def __init__(self, archive: Archive, state: Path, now: Callable[[], datetime]) -> None:
        """@param state: such as `places.state_folder()`."""
        self._archive = archive
        self._locks = state / "outbox"
        self._now = now

    # What a person does

    def put(self, account: str, message: Composed, *, hold: float = 0.0, notices: Notices | None = None) -> str:
        """Keep a message until it is sent; on disk when this returns its key.

        @param hold: seconds in which nobody sends it, so that it can be stopped.
        """
        self._archive.add_account(account)
        note = OutboxNote(
            sender=message.reverse_path,
            waiting=message.recipients,
            message_id=message.message_id,
            due=self._now().timestamp() + hold,
            eight_bit=message.eight_bit,
            smtputf8=message.smtputf8,
            notices=notices,
        )
        return self._archive.add(Addition(message.octets, Place(account, OUTBOX), flags=Flag.SEEN, note=note.as_note()))

    def list(self, account: str | None = None) -> Sequence[Queued]:
        """What waits, the oldest first."""
        found = [self._queued(summary) for name in self._accounts(account) for summary in self._summaries(name)]
        return sorted(found, key=lambda queued: (queued.due, queued.key))

    def get(self, key: str) -> Queued:
        """One of them, by the beginning of its key. @raise NoSuchMessage: it is not in an outbox (any more)."""
        summary = self._archive.get(key)
        if summary.place.folder != OUTBOX:
            raise NoSuchMessage(f"message {key!r} is not in the outbox but in {summary.place.folder}")
        return self._queued(summary)

    def stop(self, key: str) -> StopResult:
        """Take a message back into Drafts, if it was not begun to be sent. Says plainly what can still be stopped.

        @raise NoSuchMessage: no message bears that key.
        """
        summary = self._archive.get(key)
        key = summary.key
        if summary.place.folder == SENT:
            return StopResult(False, "it was sent, and mail that was sent cannot be called back")
        if summary.place.folder != OUTBOX:
            return StopResult(False, f"it does not wait to be sent: it is in {summary.place.folder}")
        try:
            lock = self._lock(key)
        except LockTaken as taken:
            return StopResult(False, f"{taken} is sending it now: it cannot be stopped any more")
        try:
            return self._take_back(key)
        finally:
            lock.remove()

    def _take_back(self, key: str) -> StopResult:
        summary = self._archive.get(key)
        note = note_from(self._archive.note(key))
        if summary.place.folder != OUTBOX or (note is not None and note.sent):
            return StopResult(False, "it has just been sent, and mail that was sent cannot be called back")
        # In this order: a message that names those of Bcc is never in the outbox.
        self._archive.move([key], Place(summary.place.account, DRAFTS))
        if note is None:
            return StopResult(True, "nobody sends it any more; it is in Drafts", key)
        hidden = _unnamed(self._archive.octets(key), [str(address) for address in note.waiting])
        if hidden:
            self._archive.replace(key, f"Bcc: {', '.join(hidden)}\r\n".encode() + self._archive.octets(key))
        self._archive.set_note(key, None)
        if note.accepted:
            names = ", ".join(str(address) for address in note.accepted)
            return StopResult(True, f"{names} got it already; nobody else does. It is in Drafts", key)
        if note.begun:
            return StopResult(
                True,
                "the last attempt broke off, and the server may have it; there is no further one. It is in Drafts",
                key,
            )
        return StopResult(True, "nothing of it was sent; it is in Drafts", key)

    def retry(self, key: str) -> None:
        """Let a refused or held message go with the next flush.

        @raise NoSuchMessage: it is not in an outbox. @raise LockTaken: it is being sent.
        """
        key = self.get(key).key
        lock = self._lock(key)
        try:
            note = note_from(self._archive.note(key))
            if note is not None:
                self._write(key, note.changed(stuck=False, due=self._now().timestamp(), refusals=()))
        finally:
            lock.remove()

    # What the sender does

    def due(self, account: str) -> Sequence[str]:
        """The keys of what is to be sent now, the oldest first."""
        return [queued.key for queued in self.list(account) if queued.state is State.WAITING]

    def due_at(self, key: str) -> float:
        """When it may be sent, in seconds since 1970. @raise NoSuchMessage: it is not in an outbox."""
        return self.get(key).due.timestamp()

    def begin(self, key: str) -> Job | None:
        """Lock a message for sending. From now on it cannot be stopped. Return None if there is nothing left to send.

        @raise LockTaken: another program is sending it.
        @raise NoSuchMessage: it is gone.
        """
        lock = self._lock(key)
        try:
            summary = self._archive.get(key)
            note = note_from(self._archive.note(key))
            if summary.place.folder != OUTBOX or note is None:
                lock.remove()
                return None
            path = self._archive.path(key)
            job = Job(summary.key, summary.place.account, path, path.stat().st_size, note, lock)
            if not note.sent:
                # On disk before the first octet goes: if we die, it may have been sent.
                self.write(job, note.changed(begun=True, attempts=note.attempts + 1))
        except BaseException:
            lock.release()
            raise
        return job

    def write(self, job: Job, note: OutboxNote) -> None:
        """Record how far it is; on disk when this returns."""
        self._write(job.key, note)
        job.note = note

    def end(self, job: Job) -> None:
        """Let go of it. May be called twice."""
        job.lock.remove()

    def finish(self, job: Job, copy: bool) -> None:
        """It is sent: into Sent, or away for good."""
        if copy and not self._archive.known([_copy_of(job)]):
            self._archive.move([job.key], Place(job.account, SENT))
        else:
            self._archive.purge([job.key])

    def copy_to_sent(self, job: Job) -> None:
        """Some have got it: a copy into Sent, once, while the message waits for the others."""
        octets = self._archive.octets(job.key)
        self._archive.add(Addition(octets, Place(job.account, SENT), _copy_of(job), Flag.SEEN))

    # Inside

    def _accounts(self, account: str | None) -> Sequence[str]:
        return self._archive.accounts() if account is None else [account]

    def _summaries(self, account: str) -> Iterator[Summary]:
        below = None
        while page := self._archive.list(Place(account, OUTBOX), _PAGE, below):
            yield from page
            below = page[-1].order

    def _queued(self, summary: Summary) -> Queued:
        note = note_from(self._archive.note(summary.key))
        if note is None:
            problem = "nobody knows to whom it goes; take it back into Drafts"
            return Queued(
                summary.key,
                summary.place.account,
                State.REFUSED,
                summary.date,
                "",
                (),
                summary.message_id,
                summary.octets,
                last_problem=problem,
            )
        due = datetime.fromtimestamp(note.due, UTC)
        sending = self._is_locked(summary.key)
        if sending:
            state = State.SENDING
        elif note.stuck:
            state = State.REFUSED
        else:
            state = State.HELD if due > self._now() else State.WAITING
        return Queued(
            key=summary.key,
            account=summary.place.account,
            state=state,
            due=due,
            sender="" if note.sender is None else str(note.sender),
            recipients=tuple(str(address) for address in note.waiting),
            message_id=note.message_id,
            octets=summary.octets,
            attempts=note.attempts,
            last_problem=note.problem,
            refusals=note.refusals,
            accepted=tuple(str(address) for address in note.accepted),
            may_be_sent=note.begun and not sending,
        )

    def _write(self, key: str, note: OutboxNote) -> None:
        self._archive.set_note(key, note.as_note())

    def _lock_path(self, key: str) -> Path:
        return self._locks / f"{key}.lock"

    def _lock(self, key: str) -> ProcessLock:
        return ProcessLock(self._lock_path(key))

    def _is_locked(self, key: str) -> bool:
        if not self._lock_path(key).exists():
            return False
        try:
            self._lock(key).release()
        except LockTaken:
            return True
        return False


def _copy_of(job: Job) -> str:
    return f"sent:{job.key}"


def _unnamed(octets: bytes, recipients: Sequence[str]) -> list[str]:
    """The recipients that no field of the message names: those of Bcc."""
    header = BytesHeaderParser().parsebytes(octets[: 256 * 1024])
    fields = [str(value) for name in ("To", "Cc") for value in header.get_all(name, [])]
    named = {address.lower() for _, address in getaddresses(fields)}
    return [recipient for recipient in recipients if recipient.lower() not in named]
