"""The promises that clients were given, and the check whether they were kept."""

from __future__ import annotations

import enum
import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.crash.sink import Taken
from benchmarks.crash.texts import find_ident, from_ident

# The ident of a probe begins so; its message is not accounted for.
PROBE: Final = "probe"


class State(enum.IntEnum):
    """How far a message came, as its client saw it."""

    BEGUN = 1  # MAIL was said; its last octet was not
    WHOLE = 2  # its last octet may have been sent, the reply has not come
    ACCEPTED = 3  # 250
    REFUSED = 4  # 4xx or 5xx


@dataclass
class Sent:
    """A message that a client sent, or tried to send. `position` is the value of `Load.watched` at its reply."""

    ident: str
    digest: str
    octets: int
    local: tuple[str, ...]
    remote: tuple[str, ...]
    state: State = State.BEGUN
    queue_id: str = ""
    reply: str = ""
    position: int = 0


@dataclass
class Quit:
    """The deletes of one POP3 session, in doubt from its QUIT until +OK.

    `asked` and `position` are the values of `Load.watched` before the QUIT and after its reply.
    """

    account: str
    idents: frozenset[str]
    sure: bool = False
    asked: int = 0
    position: int = 0


@dataclass
class Found:
    """The contents of the maildrops: copies by account and ident, unique ids, and what is wrong with the octets."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)
    uids: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class Verdict:
    """The result of a check. A flaw is a promise that was broken; the figures count what was in doubt."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    kept_in_doubt: int = 0
    gone_in_doubt: int = 0

    @property
    def flaws(self) -> list[str]:
        """All flaws, each with its kind."""
        return [
            f"{kind}: {one}" for kind in ("lost", "doubled", "returned", "torn", "other") for one in getattr(self, kind)
        ]


class Ledger:
    """The promises of all clients together. Many threads use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent: dict[str, Sent] = {}
        self.quits: list[Quit] = []
        self.removed: dict[tuple[str, str], int] = {}
        self.uids: dict[tuple[str, str], str] = {}

    def begin(self, sent: Sent) -> None:
        """Note that a client begins a transaction."""
        with self._lock:
            self.sent[sent.ident] = sent

    def quitting(self, account: str, idents: Iterable[str]) -> Quit:
        """Note that a client is about to say QUIT."""
        one = Quit(account, frozenset(idents))
        with self._lock:
            self.quits.append(one)
        return one

    def count(self, state: State) -> int:
        """The number of messages in a state."""
        with self._lock:
            return sum(sent.state is state for sent in self.sent.values())

    def judge_octets(self, account: str, text: bytes) -> tuple[str | None, str | None]:
        """The ident of a message that was fetched, and what is wrong with it, or None."""
        ident = find_ident(text)
        if ident is None:
            return None, f"{account}: a message of {len(text)} octets without an ident"
        if ident.startswith(PROBE):
            return ident, None
        sent = self.sent.get(ident)
        if sent is None:
            if (account, ident) in self.removed:
                return ident, None
            return ident, f"{account}: {ident} was never sent"
        if hashlib.sha256(from_ident(text)).hexdigest() != sent.digest:
            return ident, f"{account}: {ident} has other octets than were sent"
        return ident, None

    def check(self, found: Found) -> Verdict:
        """Compare the maildrops with the promises."""
        verdict = Verdict(other=list(found.wrong))
        sure: set[tuple[str, str]] = set()
        doubtful: dict[tuple[str, str], Quit] = {}
        for one in self.quits:
            for ident in one.idents:
                if one.sure:
                    sure.add((one.account, ident))
                else:
                    doubtful[one.account, ident] = one
        doubtful = {key: one for key, one in doubtful.items() if key not in sure}
        for sent in self.sent.values():
            counts = {account: found.counts[account][sent.ident] for account in sent.local}
            for account, count in counts.items():
                self._check_one(verdict, sent, account, count, (account, sent.ident) in sure, doubtful)
            if sent.state is State.WHOLE:
                # A commit holds all recipients or none. A recipient that deleted the message has had it.
                kept = {
                    bool(count) or (account, sent.ident) in sure or (account, sent.ident) in doubtful
                    for account, count in counts.items()
                }
                if len(kept) > 1:
                    verdict.torn.append(f"{sent.ident}: some of its recipients have it: {counts}")
                verdict.kept_in_doubt += kept == {True}
                verdict.gone_in_doubt += kept == {False}
        self._check_quits(verdict, found, set(doubtful))
        known = set(self.sent)
        for account, idents in found.counts.items():
            for ident, count in idents.items():
                if ident not in known and not ident.startswith(PROBE) and (account, ident) in self.removed:
                    verdict.returned.append(
                        f"{account}: {ident} ({count}) was deleted in round {self.removed[account, ident]}"
                    )
        for key, uid in found.uids.items():
            before = self.uids.setdefault(key, uid)
            if before != uid and not key[1].startswith(PROBE) and found.counts[key[0]][key[1]] == 1:
                verdict.other.append(f"{key}: its unique id was {before} and is {uid}")
        return verdict

    def _check_quits(self, verdict: Verdict, found: Found, doubtful: set[tuple[str, str]]) -> None:
        """A QUIT in doubt has deleted all of its messages or none; what is gone may be the work of another one."""
        left: list[tuple[str, set[str], set[str]]] = []
        for one in self.quits:
            if not one.sure:
                open_idents = {ident for ident in one.idents if (one.account, ident) in doubtful}
                kept = {ident for ident in open_idents if found.counts[one.account][ident]}
                left.append((one.account, kept, open_idents - kept))
        whole: dict[str, set[str]] = defaultdict(set)
        for account, kept, gone in left:
            if not kept:
                whole[account] |= gone
        for account, kept, gone in left:
            if kept and gone - whole[account]:
                verdict.torn.append(f"{account}: a QUIT has deleted some of its messages")

    @staticmethod
    def _check_one(
        verdict: Verdict,
        sent: Sent,
        account: str,
        count: int,
        deleted: bool,
        doubtful: Mapping[tuple[str, str], Quit],
    ) -> None:
        name = f"{account}: {sent.ident} ({sent.octets} octets, {sent.state.name}, {sent.queue_id})"
        if count > 1:
            verdict.doubled.append(f"{name}: {count} times")
        if deleted:
            if count:
                verdict.returned.append(f"{name}: deleted with +OK")
        elif sent.state is State.ACCEPTED and not count and (account, sent.ident) not in doubtful:
            verdict.lost.append(name)
        elif sent.state in (State.BEGUN, State.REFUSED) and count:
            verdict.other.append(f"{name}: {sent.reply or 'half sent'}, and in the maildrop")

    def check_remote(self, taken: Taken, queued: Iterable[Mapping[str, object]]) -> Verdict:
        """Compare a sink and the queue with the promises.

        @param queued: the rows of the queue, read before the sink: mail that leaves in between is seen in both.
        """
        verdict = Verdict()
        waiting = {(row["queue_id"], row["recipient"]) for row in queued}
        for sent in self.sent.values():
            for recipient in sent.remote:
                count = taken.counts[sent.ident, recipient]
                name = f"{recipient}: {sent.ident} ({sent.octets} octets, {sent.state.name}, {sent.queue_id})"
                if count > 1:
                    verdict.doubled.append(f"{name}: {count} times")
                if sent.state is State.ACCEPTED and not count and (sent.queue_id, recipient) not in waiting:
                    verdict.lost.append(name)
                if sent.state in (State.BEGUN, State.REFUSED) and count:
                    verdict.other.append(f"{name}: {sent.reply or 'half sent'}, and relayed")
            if taken.digests.get(sent.ident, set()) - {sent.digest}:
                verdict.other.append(f"{sent.ident}: the sink got other octets than were sent")
        return verdict

    def settle(self, found: Found, kept: set[tuple[str, str]], number: int) -> None:
        """Begin a new round: what the check left in the maildrops is expected there, all else was deleted for good."""
        with self._lock:
            sure = {(one.account, ident): None for one in self.quits if one.sure for ident in one.idents}
            for key in [*sure, *((account, ident) for account, idents in found.counts.items() for ident in idents)]:
                if key not in kept:
                    self.removed[key] = number
            self.quits = []
            stay: dict[str, Sent] = {}
            for account, ident in kept:
                sent = self.sent[ident]
                sent.state = State.ACCEPTED
                before = stay.get(ident)
                local = (*before.local, account) if before else (account,)
                stay[ident] = Sent(ident, sent.digest, sent.octets, local, (), State.ACCEPTED, sent.queue_id)
            self.sent = stay
