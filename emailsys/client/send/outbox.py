"""Outbox: messages on disk until the server has accepted them or the user takes them back."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import (
    DRAFTS,
    OUTBOX,
    SENT,
    TRASH,
    Addition,
    Flag,
    Folder,
    NoSuchMessage,
    Summary,
)
from emailsys.client.base.process_lock import LockTaken, ProcessLock
from emailsys.client.compose.message_builder import OutgoingMessage
from emailsys.client.compose.resent import is_resent
from emailsys.client.send.note import Notices, OutboxNote, Refusal, note_from
from emailsys.mail.address import Address
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import read_fields

__all__ = ["Job", "LockTaken", "Notices", "Outbox", "QueuedMessage", "Refusal", "State", "StopResult"]

_PAGE: Final = 500


class State(enum.Enum):
    """State of a message in the outbox."""

    #: Held until `due`. It can be stopped.
    HELD = "held"
    #: Sent by the next `flush`. It can be stopped.
    WAITING = "waiting"
    #: An attempt ended between the last octet and the server's reply. Only the user can say whether to send it again.
    IN_DOUBT = "may have arrived"
    #: A program is sending it. It can no longer be stopped.
    SENDING = "sending"
    #: The server refused it permanently. It stays until the user edits, retries, or deletes it.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message in the outbox.

    - `recipients` are those that have not accepted it.
    - `attempts` is the number of delivery attempts, `last_problem` the reason why the last one failed, or "".
    - `scheduled`: the user named the time `due`.
    - `may_be_sent`: an attempt ended before the server's reply to the whole message, so the server may have it.
    """

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
    scheduled: bool = False


@dataclass(frozen=True, slots=True)
class StopResult:
    """Result of stopping a message. `words` is a text for the user, `draft` the key in Drafts."""

    stopped: bool
    words: str
    draft: str | None = None


@dataclass(slots=True)
class Job:
    """A message that this program is sending. It is locked until `Outbox.end`."""

    key: str
    account: str
    path: Path
    octets: int
    note: OutboxNote
    lock: ProcessLock
    #: Whether an earlier attempt ended in doubt, and the user wants the message sent again.
    was_in_doubt: bool = False


class Outbox:
    """The folders Outbox of all accounts. Methods block: call them from a thread."""

    def __init__(self, archive: Archive, state: Path, now: Callable[[], datetime]) -> None:
        """@param state: the state folder of the client, for example `locations.state_folder()`."""
        self._archive = archive
        self._locks = state / "outbox"
        self._now = now

    # For the user interface

    def put(
        self,
        account: str,
        message: OutgoingMessage,
        *,
        hold: float = 0.0,
        at: datetime | None = None,
        notices: Notices | None = None,
    ) -> str:
        """Add a message. It is on disk when this returns its key.

        @param hold: seconds before it is sent, in which it can be stopped.
        @param at: when the user wants it sent, in place of `hold`.
        """
        self._archive.add_account(account)
        note = OutboxNote(
            sender=message.reverse_path,
            waiting=message.recipients,
            message_id=message.message_id,
            due=self._now().timestamp() + hold if at is None else at.timestamp(),
            scheduled=at is not None,
            eight_bit=message.eight_bit,
            smtputf8=message.smtputf8,
            notices=notices,
        )
        return self._archive.add(
            Addition(message.octets, Folder(account, OUTBOX), flags=Flag.SEEN, note=note.as_note())
        )

    def list(self, account: str | None = None) -> Sequence[QueuedMessage]:
        """List the messages, in order of `due`."""
        found = [self._queued(summary) for name in self._accounts(account) for summary in self._summaries(name)]
        return sorted(found, key=lambda queued: (queued.due, queued.key))

    def get(self, key: str) -> QueuedMessage:
        """Return a message by a prefix of its key. @raise NoSuchMessage: it is not in an outbox."""
        summary = self._archive.get(key)
        if summary.folder.name != OUTBOX:
            raise NoSuchMessage(f"message {key!r} is not in the outbox but in {summary.folder.name}")
        return self._queued(summary)

    def stop(self, key: str) -> StopResult:
        """Move a message back to Drafts unless it is being sent. The result says what was already sent.

        @raise NoSuchMessage: there is no message with that key.
        """
        summary = self._archive.get(key)
        key = summary.key
        if summary.folder.name == SENT:
            return StopResult(False, "it was sent, and sent mail cannot be called back")
        if summary.folder.name != OUTBOX:
            return StopResult(False, f"it is not in the outbox but in {summary.folder.name}")
        try:
            lock = self._lock(key)
        except LockTaken as taken:
            return StopResult(False, f"{taken} is sending it now: it can no longer be stopped")
        try:
            return self._take_back(key)
        finally:
            lock.remove()

    def _take_back(self, key: str) -> StopResult:
        summary = self._archive.get(key)
        note = note_from(self._archive.note(key))
        if summary.folder.name != OUTBOX or (note is not None and note.sent):
            return StopResult(False, "it has just been sent, and sent mail cannot be called back")
        if is_resent(self._archive.octets(key)):
            # As a draft, it would be a letter to the recipients of the original.
            self._archive.move([key], Folder(summary.folder.account, TRASH))
            self._archive.set_note(key, None)
            return StopResult(True, f"{_not_sent_on(note)}. The copy is in Trash", key)
        # Move first, then add Bcc: a message in the outbox never shows its Bcc recipients.
        self._archive.move([key], Folder(summary.folder.account, DRAFTS))
        if note is None:
            return StopResult(True, "it will not be sent; it is in Drafts", key)
        hidden = _bcc_recipients(self._archive.octets(key), note.waiting)
        if hidden:
            self._archive.replace(key, f"Bcc: {', '.join(map(str, hidden))}\r\n".encode() + self._archive.octets(key))
        self._archive.set_note(key, None)
        if note.accepted:
            names = ", ".join(str(address) for address in note.accepted)
            return StopResult(True, f"{names} already accepted it; the others will not get it. It is in Drafts", key)
        if note.begun:
            return StopResult(
                True,
                "the last attempt was interrupted, and the server may have it; it will not be retried. It is in Drafts",
                key,
            )
        return StopResult(True, "it was not sent; it is in Drafts", key)

    def retry(self, key: str) -> None:
        """Make a refused or held message, or one that may have arrived, due for the next flush.

        @raise NoSuchMessage: it is not in an outbox.
        @raise LockTaken: it is being sent.
        """
        key = self.get(key).key
        lock = self._lock(key)
        try:
            note = note_from(self._archive.note(key))
            if note is not None:
                self._write(key, note.changed(stuck=False, again=note.begun, due=self._now().timestamp(), refusals=()))
        finally:
            lock.remove()

    # For the sender

    def due(self, account: str) -> Sequence[str]:
        """Return the keys of the messages that are due, in order of `due`."""
        return [queued.key for queued in self.list(account) if queued.state is State.WAITING]

    def in_doubt(self, accounts: Sequence[str]) -> Sequence[QueuedMessage]:
        """Return the messages that may have arrived. `retry` makes one due again."""
        return [queued for name in accounts for queued in self.list(name) if queued.state is State.IN_DOUBT]

    def left_to(self, key: str) -> str | None:
        """Return the folder that a message of the outbox went to, or None if it no longer exists."""
        try:
            return self._archive.get(key).folder.name
        except NoSuchMessage:
            return None

    def scheduled(self, accounts: Sequence[str]) -> Sequence[QueuedMessage]:
        """Return the messages whose time, which the user named, has come, and that were not tried yet."""
        return [
            one
            for name in accounts
            for one in self.list(name)
            if one.state is State.WAITING and one.scheduled and not one.attempts
        ]

    def due_at(self, key: str) -> float:
        """Return when a message is due, in seconds since 1970. @raise NoSuchMessage: it is not in an outbox."""
        return self.get(key).due.timestamp()

    def begin(self, key: str) -> Job | None:
        """Lock a message for sending. From now on it cannot be stopped.

        Return None if there is nothing left to send, or if only the user can say whether to send it: it was refused, or
        it may have arrived. Another program may have ended its attempt since this one listed the outbox.

        @raise LockTaken: another program is sending it.
        @raise NoSuchMessage: it no longer exists.
        """
        lock = self._lock(key)
        try:
            summary = self._archive.get(key)
            note = note_from(self._archive.note(key))
            is_for_user = note is not None and not note.sent and (note.stuck or note.is_in_doubt)
            if summary.folder.name != OUTBOX or note is None or is_for_user:
                lock.remove()
                return None
            path = self._archive.path(key)
            job = Job(summary.key, summary.folder.account, path, path.stat().st_size, note, lock, note.begun)
            if not note.sent:
                self.write(job, note.changed(attempts=note.attempts + 1))
        except BaseException:
            lock.release()
            raise
        return job

    def write(self, job: Job, note: OutboxNote) -> None:
        """Record the state of a message. It is on disk when this returns."""
        self._write(job.key, note)
        job.note = note

    def record_last_octets(self, job: Job) -> None:
        """Record that the last octets are about to be sent: after a crash from here on, the message may have arrived.

        @raise ArchiveError: this could not be recorded. The message must not be completed.
        """
        if not job.note.begun or job.note.again:
            self.write(job, job.note.changed(begun=True, again=False))

    def end(self, job: Job) -> None:
        """Unlock a message. May be called twice."""
        job.lock.remove()

    def finish(self, job: Job, copy: bool) -> None:
        """Move a sent message to Sent, or delete it permanently. @param copy: whether Sent keeps a copy."""
        if copy and not self._archive.known([_copy_of(job)]):
            self._archive.move([job.key], Folder(job.account, SENT))
        else:
            self._archive.purge([job.key])

    def copy_to_sent(self, job: Job) -> None:
        """Copy a message to Sent, once, after some recipients accepted it and others are still waiting."""
        octets = self._archive.octets(job.key)
        self._archive.add(Addition(octets, Folder(job.account, SENT), _copy_of(job), Flag.SEEN))

    # Internal

    def _accounts(self, account: str | None) -> Sequence[str]:
        return self._archive.accounts() if account is None else [account]

    def _summaries(self, account: str) -> Iterator[Summary]:
        below = None
        while page := self._archive.list(Folder(account, OUTBOX), _PAGE, below):
            yield from page
            below = page[-1].order

    def _queued(self, summary: Summary) -> QueuedMessage:
        note = note_from(self._archive.note(summary.key))
        if note is None:
            problem = "its recipients are unknown; move it back to Drafts"
            return QueuedMessage(
                summary.key,
                summary.folder.account,
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
        elif note.is_in_doubt:
            state = State.IN_DOUBT
        else:
            state = State.HELD if due > self._now() else State.WAITING
        return QueuedMessage(
            key=summary.key,
            account=summary.folder.account,
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
            scheduled=note.scheduled,
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


def _not_sent_on(note: OutboxNote | None) -> str:
    if note is not None and note.accepted:
        names = ", ".join(str(address) for address in note.accepted)
        return f"{names} already accepted it; it will not be sent on to the others"
    if note is not None and note.begun:
        return "the last attempt was interrupted, and the server may have it; it will not be retried"
    return "it will not be sent on"


def _copy_of(job: Job) -> str:
    return f"sent:{job.key}"


def _bcc_recipients(octets: bytes, recipients: Sequence[Address]) -> list[Address]:
    """Return the recipients that no header field names: the Bcc recipients."""
    fields = (field for field in read_fields(octets) if field.name.lower() in ("to", "cc"))
    named = {mailbox.address.key for field in fields for mailbox in read_mailboxes(field.text)}
    return [recipient for recipient in recipients if recipient.key not in named]
