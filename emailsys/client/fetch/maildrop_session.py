"""Maildrop session: selects and retrieves new messages, stores them, then deletes on the server what may be deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import FetchStore
from emailsys.client.fetch.batches import BatchQueue, IncomingMessage
from emailsys.client.fetch.deletion import may_delete
from emailsys.client.fetch.journal import FetchedIds, numbered_ids
from emailsys.client.fetch.pop3 import POP3Client, POP3Lost
from emailsys.client.fetch.values import FetchOptions, ServerMessage, Stage
from emailsys.client.rules.filing import Filing
from emailsys.wire.pop3.client import Piece
from emailsys.wire.pop3.client_commands import dele, retr, top

# A server may announce a size without CR, and may add fields: at most twice the size and this number of octets arrive.
_MAX_ADDED: Final = 64 * 1024
# Octets of a message whose size the server does not tell.
_MAX_UNKNOWN: Final = 256 * 1024 * 1024
# Sessions that may be lost at one message before the fetch goes on without it.
_MAX_LOST: Final = 2
# Maximum number of oversized messages whose header is fetched.
_MAX_PREVIEWS: Final = 100
#: Maximum length of a previewed header section, in octets.
MAX_HEADER: Final = 256 * 1024


@dataclass(slots=True)
class FetchCounts:
    """Counts of an account's fetch, over all its sessions."""

    keys: list[str] = field(default_factory=list)
    #: Unique ids of the stored messages.
    done: set[str] = field(default_factory=set)
    octets: int = 0
    deleted: int = 0
    on_server: int = 0
    too_big: list[ServerMessage] = field(default_factory=list)
    #: Reasons why the server refused messages, by unique id, or by number without an id.
    refused: dict[str, str] = field(default_factory=dict)
    #: Numbers of sessions that were lost at a message, by unique id. These messages are fetched last.
    lost_at: dict[str, int] = field(default_factory=dict)
    #: Whether headers of oversized messages may be fetched. False after a session was lost at them.
    previews: bool = True
    #: Selected messages, including stored ones, and their octets as listed by the server.
    all_messages: int = 0
    all_octets: int = 0


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """A message in the listing of a maildrop."""

    number: int
    uid: str
    octets: int


def listing(client: POP3Client) -> tuple[list[ListedMessage], list[int]]:
    """List a maildrop: its messages with distinct ids, and the numbers of messages without a valid id.

    Without an id as in RFC 1939 §7, a message cannot be recognized after it was fetched.
    """
    uids, sizes = client.unique_ids_and_sizes()
    listed = [ListedMessage(number, uid, sizes.get(number, 0)) for number, uid in numbered_ids(sorted(uids.items()))]
    return listed, sorted(sizes.keys() - uids.keys())


def headers(client: POP3Client, messages: Sequence[ListedMessage], lines: int) -> dict[str, bytes]:
    """Fetch header sections and first lines with TOP, by unique id. Refused messages are left out."""
    if client.capabilities.offered and "TOP" not in client.capabilities:
        return {}
    found: dict[str, bytes] = {}
    incoming = (IncomingMessage(message.number, message.uid) for message in messages)
    one = next(incoming, None)
    for event in client.events(top(message.number, lines) for message in messages):
        assert one is not None
        one.append(event.octets[: max(0, MAX_HEADER - one.octets)])
        if not isinstance(event, Piece):
            if event.answer.ok:
                found[one.uid] = one.whole()
            one = next(incoming, None)
    return found


def _check_size(message: ListedMessage, incoming: IncomingMessage) -> None:
    """@raise POP3Lost: the server sends far more than it announced, perhaps without end."""
    most = 2 * message.octets + _MAX_ADDED if message.octets else _MAX_UNKNOWN
    if incoming.octets > most:
        raise POP3Lost(f"the server announced {message.octets} octets and sent more than {most}")


class MaildropSession:
    """One session. However it ends, stored messages are recorded in `ids` and counted in `counts`."""

    def __init__(
        self,
        client: POP3Client,
        account: Account,
        wanted: FetchOptions,
        store: FetchStore,
        filing: Filing,
        ids: FetchedIds,
        counts: FetchCounts,
        now: Callable[[], datetime],
        report: Callable[[Stage], None],
    ) -> None:
        """@param report: called with the stage, and after every change of the counts, from several threads."""
        assert account.pop3 is not None
        self._client = client
        self._account = account
        self._wanted = wanted
        self._store = store
        self._filing = filing
        self._ids = ids
        self._counts = counts
        self._now = now
        self._report = report
        self._source = f"pop3:{account.pop3.host}:{account.pop3.username}:"

    def run(self) -> None:
        """Fetch the selected messages, delete what may be deleted, and close the connection. Blocks.

        @raise POP3Lost: the connection was lost. Complete messages are stored.
        @raise POP3Refused: the server refused to list its messages.
        @raise ArchiveError: a message could not be stored.
        """
        try:
            self._report(Stage.LISTING)
            messages, numbers_without_id = listing(self._client)
            self._counts.on_server = len(messages) + len(numbers_without_id)
            self._counts.refused |= {f"number {number}": "it has no unique id (UIDL)" for number in numbers_without_id}
            selected = self._select(messages)
            self._report(Stage.FETCHING)
            self._fetch(selected)
            self._delete(messages)
        finally:
            self._client.close()

    # Selection

    def _select(self, messages: Sequence[ListedMessage]) -> list[ListedMessage]:
        wanted, counts = self._wanted, self._counts
        self._record_stored(messages)
        if wanted.uids is not None:
            past = {*counts.refused, *counts.done}
            selected = [message for message in messages if message.uid in wanted.uids and message.uid not in past]
        else:
            selected = [
                message for message in messages if message.uid not in self._ids and message.uid not in counts.refused
            ]
            if wanted.newest is not None:
                selected = selected[max(0, len(selected) - wanted.newest) :]
            selected = self._without_too_big(selected)
        selected.sort(key=lambda message: counts.lost_at.get(message.uid, 0))
        counts.all_messages = len(counts.keys) + len(selected)
        counts.all_octets = counts.octets + sum(message.octets for message in selected)
        return selected

    def _record_stored(self, messages: Sequence[ListedMessage]) -> None:
        """Record messages that are stored but not recorded, after a crash in between."""
        ids = self._ids
        unknown = [message.uid for message in messages if message.uid not in ids]
        known = self._store.known(self._source + uid for uid in unknown)
        ids.add((uid for uid in unknown if self._source + uid in known), int(self._now().timestamp()))
        ids.keep_only({message.uid for message in messages})

    def _without_too_big(self, selected: list[ListedMessage]) -> list[ListedMessage]:
        limit = self._account.max_octets if self._wanted.max_octets is None else self._wanted.max_octets
        if not limit:
            return selected
        too_big = [message for message in selected if message.octets > limit]
        try:
            shown = headers(self._client, too_big[-_MAX_PREVIEWS:], 0) if self._counts.previews else {}
        except POP3Lost:
            self._counts.previews = False
            raise
        self._counts.too_big = [
            ServerMessage(message.uid, message.octets, shown.get(message.uid, b"")) for message in reversed(too_big)
        ]
        return [message for message in selected if message.octets <= limit]

    # Retrieval

    def _fetch(self, selected: Sequence[ListedMessage]) -> None:
        queue = BatchQueue(self._store_batch, self._count_stored)
        try:
            try:
                self._retrieve(selected, queue)
            except POP3Lost:
                # Complete messages are stored, even though the rest was lost.
                queue.drain()
                raise
            queue.drain()
        finally:
            queue.close()

    def _retrieve(self, selected: Sequence[ListedMessage], queue: BatchQueue) -> None:
        counts = self._counts
        done = 0
        incoming: IncomingMessage | None = None
        try:
            for event in self._client.events(retr(message.number) for message in selected):
                message = selected[done]
                if incoming is None:
                    incoming = IncomingMessage(message.number, message.uid)
                if event.octets:
                    incoming.append(event.octets)
                    counts.octets += len(event.octets)
                    self._report(Stage.FETCHING)
                    _check_size(message, incoming)
                if isinstance(event, Piece):
                    continue
                if event.answer.ok:
                    queue.add(incoming)
                else:
                    counts.refused[incoming.uid] = event.answer.text or "no reason given"
                incoming = None
                done += 1
        except POP3Lost as lost:
            if done < len(selected):
                self._note_loss(selected[done], lost)
            raise

    def _note_loss(self, message: ListedMessage, lost: POP3Lost) -> None:
        """Note that the session was lost at a message. After the second time, the fetch goes on without the message."""
        counts = self._counts
        times = counts.lost_at[message.uid] = counts.lost_at.get(message.uid, 0) + 1
        if times >= _MAX_LOST:
            counts.refused[message.uid] = f"{times} sessions ended at this message ({lost})"

    def _store_batch(self, batch: Sequence[IncomingMessage]) -> Sequence[str]:
        """Add a batch to the archive, then record its ids. Runs in a thread."""
        keys = self._filing.add([(message.whole(), self._source + message.uid) for message in batch])
        self._ids.add((message.uid for message in batch), int(self._now().timestamp()))
        return keys

    def _count_stored(self, batch: Sequence[IncomingMessage], keys: Sequence[str]) -> None:
        self._counts.keys.extend(keys)
        self._counts.done.update(message.uid for message in batch)
        self._report(Stage.FETCHING)

    # Deletion

    def _delete(self, messages: Sequence[ListedMessage]) -> None:
        keep = self._wanted.keep or self._account.keep
        now = self._now()
        due = [message for message in messages if may_delete(message.uid, keep, self._ids, now)]
        deleted = 0
        if due:
            self._report(Stage.DELETING)
            deleted = sum(answer.ok for answer in self._client.answers(dele(message.number) for message in due))
        # The server deletes messages at QUIT only (RFC 1939 §6).
        self._client.quit()
        self._counts.deleted += deleted
        self._counts.on_server -= deleted
