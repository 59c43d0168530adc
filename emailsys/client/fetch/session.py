"""One session with a maildrop: list, choose, fetch, keep here, delete there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from emailsys.client.accounts.values import Account, Keep, KeepKind
from emailsys.client.archive.values import INBOX, Addition, FetchStore, Place
from emailsys.client.fetch.batches import BatchQueue, IncomingMessage
from emailsys.client.fetch.journal import FetchedIds, numbered_ids
from emailsys.client.fetch.pop3 import POP3Client, POP3Lost
from emailsys.client.fetch.values import FetchOptions, ServerMessage, Stage
from emailsys.wire.pop3.client import Piece
from emailsys.wire.pop3.client_commands import dele, retr, top

# Of so many messages that are too big the header is shown.
_MOST_PREVIEWS: Final = 100
#: A header section longer than that is cut.
MAX_HEADER: Final = 256 * 1024
_DAY: Final = 86400


@dataclass(slots=True)
class FetchCounts:
    """What has come of fetching an account so far, over all its sessions."""

    keys: list[str] = field(default_factory=list)
    #: Unique ids of the messages that are kept.
    done: set[str] = field(default_factory=set)
    octets: int = 0
    deleted: int = 0
    on_server: int = 0
    too_big: list[ServerMessage] = field(default_factory=list)
    #: What the server would not give, by unique id or, where it has none, by its number; and why.
    refused: dict[str, str] = field(default_factory=dict)
    #: Messages that are wanted, those that are here already among them, and their octets as the server told them.
    all_messages: int = 0
    all_octets: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A message of the maildrop."""

    number: int
    uid: str
    octets: int


def listing(client: POP3Client) -> tuple[list[Listed], list[int]]:
    """The maildrop's messages, with ids that differ; and the numbers of those to which the server gives no id at all,
    or none that RFC 1939 §7 allows, so that nobody could tell whether they were fetched."""
    uids, sizes = client.unique_ids_and_sizes()
    listed = [Listed(number, uid, sizes.get(number, 0)) for number, uid in numbered_ids(sorted(uids.items()))]
    return listed, sorted(sizes.keys() - uids.keys())


def headers(client: POP3Client, messages: Sequence[Listed], lines: int) -> dict[str, bytes]:
    """Header section and so many lines of messages, by unique id; those that the server refuses are not there."""
    if client.capabilities.offered and "TOP" not in client.capabilities:
        return {}
    found: dict[str, bytes] = {}
    arriving = (IncomingMessage(message.number, message.uid) for message in messages)
    one = next(arriving, None)
    for event in client.events(top(message.number, lines) for message in messages):
        assert one is not None
        one.take(event.octets[: max(0, MAX_HEADER - one.octets)])
        if not isinstance(event, Piece):
            if event.answer.ok:
                found[one.uid] = one.whole()
            one = next(arriving, None)
    return found


class MaildropSession:
    """One session. What is here is recorded in `ids` and counted in `tally`, however the session ends."""

    def __init__(
        self,
        client: POP3Client,
        account: Account,
        wanted: FetchOptions,
        store: FetchStore,
        ids: FetchedIds,
        tally: FetchCounts,
        now: Callable[[], datetime],
        report: Callable[[Stage], None],
    ) -> None:
        """@param report: told of the stage, and whenever the tally has changed; by several threads."""
        assert account.pop3 is not None
        self._client = client
        self._account = account
        self._wanted = wanted
        self._store = store
        self._ids = ids
        self._tally = tally
        self._now = now
        self._report = report
        self._source = f"pop3:{account.pop3.host}:{account.pop3.username}:"

    def run(self) -> None:
        """Fetch what is wanted, delete what may go; the connection is closed then. Blocks.

        @raise POP3Lost: the connection went; all that came before is kept.
        @raise POP3Refused: the server does not list its messages.
        @raise ArchiveError: it cannot be kept here.
        """
        try:
            self._report(Stage.LISTING)
            messages, nameless = listing(self._client)
            self._tally.on_server = len(messages) + len(nameless)
            self._tally.refused |= {f"number {number}": "it has no unique id (UIDL)" for number in nameless}
            chosen = self._choose(messages)
            self._report(Stage.FETCHING)
            self._fetch(chosen)
            self._delete(messages)
        finally:
            self._client.close()

    # Choosing

    def _choose(self, messages: Sequence[Listed]) -> list[Listed]:
        wanted, tally = self._wanted, self._tally
        self._catch_up(messages)
        if wanted.uids is not None:
            past = {*tally.refused, *tally.done}
            chosen = [message for message in messages if message.uid in wanted.uids and message.uid not in past]
        else:
            chosen = [
                message for message in messages if message.uid not in self._ids and message.uid not in tally.refused
            ]
            if wanted.newest is not None:
                chosen = chosen[max(0, len(chosen) - wanted.newest) :]
            chosen = self._without_too_big(chosen)
        tally.all_messages = len(tally.keys) + len(chosen)
        tally.all_octets = tally.octets + sum(message.octets for message in chosen)
        return chosen

    def _catch_up(self, messages: Sequence[Listed]) -> None:
        """Record what is here and was not recorded, for a crash came in between."""
        ids = self._ids
        unknown = [message.uid for message in messages if message.uid not in ids]
        known = self._store.known(self._source + uid for uid in unknown)
        ids.add((uid for uid in unknown if self._source + uid in known), int(self._now().timestamp()))
        ids.keep_only({message.uid for message in messages})

    def _without_too_big(self, chosen: list[Listed]) -> list[Listed]:
        limit = self._account.max_octets if self._wanted.max_octets is None else self._wanted.max_octets
        if not limit:
            return chosen
        too_big = [message for message in chosen if message.octets > limit]
        shown = headers(self._client, too_big[-_MOST_PREVIEWS:], 0)
        self._tally.too_big = [
            ServerMessage(message.uid, message.octets, shown.get(message.uid, b"")) for message in reversed(too_big)
        ]
        return [message for message in chosen if message.octets <= limit]

    # Fetching

    def _fetch(self, chosen: Sequence[Listed]) -> None:
        intake = BatchQueue(self._keep, self._kept)
        try:
            try:
                self._retrieve(chosen, intake)
            except POP3Lost:
                # What is complete is kept, whatever became of the rest.
                intake.drain()
                raise
            intake.drain()
        finally:
            intake.close()

    def _retrieve(self, chosen: Sequence[Listed], intake: BatchQueue) -> None:
        tally = self._tally
        expected = iter(chosen)
        arriving: IncomingMessage | None = None
        for event in self._client.events(retr(message.number) for message in chosen):
            if arriving is None:
                message = next(expected)
                arriving = IncomingMessage(message.number, message.uid)
            if event.octets:
                arriving.take(event.octets)
                tally.octets += len(event.octets)
                self._report(Stage.FETCHING)
            if isinstance(event, Piece):
                continue
            if event.answer.ok:
                intake.add(arriving)
            else:
                tally.refused[arriving.uid] = event.answer.text or "no reason given"
            arriving = None

    def _keep(self, batch: Sequence[IncomingMessage]) -> Sequence[str]:
        """Written, synced and renamed by the archive, then recorded. In a thread."""
        place = Place(self._account.name, INBOX)
        additions = [Addition(arrived.whole(), place, self._source + arrived.uid) for arrived in batch]
        keys = self._store.add_many(additions)
        self._ids.add((arrived.uid for arrived in batch), int(self._now().timestamp()))
        return keys

    def _kept(self, batch: Sequence[IncomingMessage], keys: Sequence[str]) -> None:
        self._tally.keys.extend(keys)
        self._tally.done.update(arrived.uid for arrived in batch)
        self._report(Stage.FETCHING)

    # Deleting

    def _delete(self, messages: Sequence[Listed]) -> None:
        keep = self._wanted.keep or self._account.keep
        due = [message for message in messages if self._may_go(message.uid, keep)]
        gone = 0
        if due:
            self._report(Stage.DELETING)
            gone = sum(answer.ok for answer in self._client.answers(dele(message.number) for message in due))
        # Only now are they deleted (RFC 1939 §6).
        self._client.quit()
        self._tally.deleted += gone
        self._tally.on_server -= gone

    def _may_go(self, uid: str, keep: Keep) -> bool:
        if keep.kind is KeepKind.LEAVE or uid not in self._ids:
            return False
        if keep.kind is KeepKind.DELETE:
            return True
        return self._ids.fetched_at(uid) + keep.days * _DAY <= self._now().timestamp()
