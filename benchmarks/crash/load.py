"""Clients that send and fetch side by side until they are stopped, and note each promise in a ledger."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp, stuffed
from benchmarks.crash.ledger import Found, Ledger, Sent, State
from benchmarks.crash.node import Node, address
from benchmarks.crash.texts import make_text

# The domain of remote recipients.
AWAY: Final = "away.test"


@dataclass(frozen=True)
class Mix:
    """The number of clients of each kind, and the octets of their messages."""

    small: int = 6
    large: int = 2
    bdat: int = 2
    submission: int = 4
    readers: int = 3
    small_octets: tuple[int, int] = (400, 8_000)
    large_octets: tuple[int, int] = (300_000, 1_500_000)


class Load:
    """The clients of one round.

    @param accounts: the recipients.
    @param prefix: of the idents.
    @param watched: returns a number that grows with what is on disk, such as the shim's; noted with each promise.
    """

    def __init__(
        self,
        node: Node,
        ledger: Ledger,
        accounts: Sequence[str],
        seed: int,
        mix: Mix = Mix(),
        prefix: str = "",
        watched: Callable[[], int] = lambda: 0,
    ) -> None:
        self.node = node
        self.ledger = ledger
        self.accounts = accounts
        self.mix = mix
        self.seed = seed
        self.prefix = prefix
        self.watched = watched
        self.stopping = threading.Event()
        self.trouble: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start all clients."""
        kinds: list[tuple[Callable[[random.Random], None], int]] = [
            (self._small, self.mix.small),
            (self._large, self.mix.large),
            (self._bdat, self.mix.bdat),
            (self._submission, self.mix.submission),
        ]
        work = [kind for kind, count in kinds for _ in range(count)]
        for number, kind in enumerate(work):
            self._run(kind, number)
        for number in range(self.mix.readers):
            mine = self.accounts[number :: self.mix.readers]
            self._run(partial(self._reader, mine), 1000 + number)

    def _run(self, kind: Callable[[random.Random], None], number: int) -> None:
        chance = random.Random(f"{self.seed}.{number}")

        def work() -> None:
            while not self.stopping.is_set():
                try:
                    kind(chance)
                except Gone:
                    self.trouble["gone"] += 1
                    self.stopping.wait(0.05)
                except Refused as why:
                    self.trouble[str(why)[:60]] += 1
                    self.stopping.wait(0.05)

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Stop all clients; the daemon may be dead already."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(90)

    # Clients that send

    def _make(self, chance: random.Random, octets: tuple[int, int], local: int, remote: int) -> tuple[Sent, bytes]:
        ident = f"{self.prefix}{self.seed}-{next(self._numbers)}"
        text = make_text(ident, chance.randint(*octets), chance)
        to = tuple(chance.sample(self.accounts, local))
        away = tuple(f"r{chance.randrange(10**6)}@{AWAY}" for _ in range(remote))
        return Sent(ident, hashlib.sha256(text).hexdigest(), len(text), to, away), text

    def _hand_over(
        self, smtp: Smtp, chance: random.Random, sender: str, made: tuple[Sent, bytes], bdat: bool = False
    ) -> None:
        sent, text = made
        recipients = [*map(address, sent.local), *sent.remote]
        self.ledger.begin(sent)
        envelope = smtp.envelope(sender, recipients)
        if bdat:
            self._by_bdat(smtp, chance, sent, text, envelope, len(recipients))
        else:
            smtp.say(envelope + b"DATA\r\n")
            try:
                for _ in range(1 + len(recipients)):
                    smtp.expect(b"250")
                smtp.expect(b"354")
            except Refused as why:
                sent.state, sent.reply = State.REFUSED, str(why)
                raise
            octets = stuffed(text) + b".\r\n"
            # Two pieces: a kill may come between them.
            cut = chance.randrange(1, len(octets))
            smtp.say(octets[:cut])
            sent.state = State.WHOLE
            smtp.say(octets[cut:])
        self._hear(smtp, sent)

    def _by_bdat(
        self, smtp: Smtp, chance: random.Random, sent: Sent, text: bytes, envelope: bytes, recipients: int
    ) -> None:
        first = chance.randrange(1, len(text))
        smtp.say(envelope + b"BDAT %d\r\n" % first + text[:first])
        try:
            for _ in range(2 + recipients):
                smtp.expect(b"250")
        except Refused as why:
            sent.state, sent.reply = State.REFUSED, str(why)
            raise
        sent.state = State.WHOLE
        smtp.say(b"BDAT %d LAST\r\n" % (len(text) - first) + text[first:])

    def _hear(self, smtp: Smtp, sent: Sent) -> None:
        reply = smtp.reply().decode(errors="replace")
        sent.position = self.watched()
        sent.reply = reply
        if reply.startswith("250"):
            sent.queue_id = reply.split()[-1]
            sent.state = State.ACCEPTED
        else:
            sent.state = State.REFUSED
            self.trouble[reply[:60]] += 1

    def _small(self, chance: random.Random) -> None:
        with Smtp(self.node) as smtp:
            for _ in range(chance.randint(1, 50)):
                if self.stopping.is_set():
                    return
                made = self._make(chance, self.mix.small_octets, chance.choice((1, 1, 1, 2, 3)), 0)
                self._hand_over(smtp, chance, "x@elsewhere.test", made)

    def _large(self, chance: random.Random) -> None:
        with Smtp(self.node) as smtp:
            made = self._make(chance, self.mix.large_octets, chance.choice((1, 2)), 0)
            self._hand_over(smtp, chance, "x@elsewhere.test", made)

    def _bdat(self, chance: random.Random) -> None:
        with Smtp(self.node) as smtp:
            for _ in range(chance.randint(1, 20)):
                if self.stopping.is_set():
                    return
                octets = self.mix.large_octets if chance.random() < 0.1 else self.mix.small_octets
                self._hand_over(smtp, chance, "x@elsewhere.test", self._make(chance, octets, 1, 0), bdat=True)

    def _submission(self, chance: random.Random) -> None:
        with Smtp(self.node, "submission") as smtp:
            sender = address(chance.choice(self.accounts))
            smtp.login(sender)
            for _ in range(chance.randint(1, 30)):
                if self.stopping.is_set():
                    return
                octets = self.mix.large_octets if chance.random() < 0.05 else self.mix.small_octets
                made = self._make(chance, octets, chance.choice((0, 0, 1)), chance.choice((1, 1, 2)))
                self._hand_over(smtp, chance, sender, made, bdat=chance.random() < 0.2)

    # Clients that fetch

    def _reader(self, mine: Sequence[str], chance: random.Random) -> None:
        account = chance.choice(mine)
        with Pop3(self.node) as pop3:
            pop3.login(address(account))
            numbers = list(pop3.uidl())
            some = sorted(chance.sample(numbers, min(len(numbers), chance.randint(0, 60))))
            marked: dict[int, str] = {}
            for number, text in pop3.fetch(some):
                ident, wrong = self.ledger.judge_octets(account, text)
                if wrong:
                    self.wrong.append(wrong)
                if ident is not None and chance.random() < 0.8:
                    marked[number] = ident
            pop3.delete(list(marked))
            if chance.random() < 0.1:
                # RFC 1939 §6: a session that ends without QUIT deletes nothing.
                return
            quitting = self.ledger.quitting(account, marked.values())
            quitting.asked = self.watched()
            pop3.demand("QUIT")
            quitting.position = self.watched()
            quitting.sure = True
        self.stopping.wait(0.02)


def look(
    node: Node, ledger: Ledger, accounts: Sequence[str], keep: Callable[[str], bool]
) -> tuple[Found, set[tuple[str, str]]]:
    """Fetch every maildrop whole, then delete what is not to be kept.

    @param keep: decides by the ident.
    @return: what was found, and what was left there, by account and ident.
    """
    found, kept = Found(), set()
    for account in accounts:
        with Pop3(node) as pop3:
            pop3.login(address(account))
            uids = pop3.uidl()
            remove = []
            if len(set(uids.values())) != len(uids):
                found.wrong.append(f"{account}: two messages have one unique id")
            for number, text in pop3.fetch(list(uids)):
                ident, wrong = ledger.judge_octets(account, text)
                if wrong:
                    found.wrong.append(wrong)
                if ident is not None:
                    found.counts[account][ident] += 1
                    found.uids[account, ident] = uids[number]
                if ident is not None and ident in ledger.sent and keep(ident):
                    kept.add((account, ident))
                else:
                    remove.append(number)
            pop3.delete(remove)
            pop3.demand("QUIT")
    return found, kept
