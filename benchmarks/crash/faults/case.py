"""A daemon for one fault, its accounts, a sink, and the promises to its clients."""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.disk import Disk
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.load import AWAY, Load, Mix, look
from benchmarks.crash.node import Node, Ports, address, hasty, merged
from benchmarks.crash.sink import Sink
from benchmarks.crash.texts import find_ident, make_text

LIGHT = Mix(small=3, large=1, bdat=1, submission=2, readers=2, large_octets=(280_000, 600_000))


class Case:
    """A daemon, its accounts, a sink, and the promises to its clients."""

    def __init__(self, name: str, chosen: argparse.Namespace, folder: Path) -> None:
        self.name = name
        self.seed = chosen.seed
        self.ports = Ports(chosen.base_port)
        # The first port of a second block, for faults with daemons of their own.
        self.base_port = None if chosen.base_port is None else chosen.base_port + 50
        self.folder = folder
        self.accounts = [f"u{number}" for number in range(6)]
        self.ledger = Ledger()
        self.flaws = 0
        self.chance = random.Random(chosen.seed)
        # Of `each_call`: how many calls of each part of a daemon's life fail, 0 for each.
        self.places: int = chosen.places
        # Of `each_call`: daemons side by side.
        self.lanes: int = chosen.lanes
        self.sink = Sink(self.ports.take()[0], folder / "sink.log")
        self.node: Node
        self.loads = 0

    def tell(self, *words: object) -> None:
        """Print a line of the report."""
        print(f"{self.name}:", *words, flush=True)

    def flaw(self, *words: object) -> None:
        """Report a broken promise."""
        self.flaws += 1
        self.tell("FLAW", *words)

    def start(
        self, settings: Mapping[str, Mapping[str, Any]] | None = None, users: bool = True, **options: Any
    ) -> Node:
        """Start a daemon; the options are those of `Node`."""
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": self.sink.port, "tls": "none"}
        self.node = Node(
            self.folder / "node",
            self.ports,
            merged(hasty(), settings or {}),
            [("routing.routes", route)],
            **options,
        )
        self.node.start()
        if users:
            self.node.add_users(self.accounts)
        return self.node

    def load(self, mix: Mix = LIGHT, watched: Callable[[], int] = lambda: 0) -> Load:
        """Start clients."""
        self.loads += 1
        load = Load(self.node, self.ledger, self.accounts, self.seed * 100 + self.loads, mix, watched=watched)
        load.start()
        return load

    def probe(self, octets: int = 500) -> str:
        """The reply to one message, and the time until it came."""
        began = time.monotonic()
        try:
            with Smtp(self.node, timeout=40) as smtp:
                text = make_text(f"probe{self.chance.random()}", octets, self.chance)
                reply = smtp.send("x@elsewhere.test", [address(self.accounts[0])], text).decode()
        except (Gone, Refused) as why:
            reply = f"{type(why).__name__}: {why}"
        return f"{reply[:90]!r} after {time.monotonic() - began:.2f} s"

    def probe_pop3(self, delete: int = 0, within: float = 40.0) -> str:
        """The reply to a login or to a QUIT with some deletes, and the time until it came.

        @param within: the seconds that QUIT may take.
        """
        began = time.monotonic()
        try:
            with Pop3(self.node, timeout=40) as pop3:
                pop3.login(address(self.accounts[1]))
                numbers = list(pop3.uidl())[:delete]
                idents = [find_ident(text) or "" for _, text in pop3.fetch(numbers)]
                pop3.delete(numbers)
                quitting = self.ledger.quitting(self.accounts[1], idents)
                asked = time.monotonic()
                try:
                    reply = pop3.demand("QUIT").decode()
                    quitting.sure = True
                finally:
                    if (seconds := time.monotonic() - asked) > within:
                        self.flaw(f"QUIT was answered after {seconds:.2f} s")
        except (Gone, Refused) as why:
            reply = f"{type(why).__name__}: {why}"
        return f"{reply[:90]!r} after {time.monotonic() - began:.2f} s"

    def check(self, what: str = "at the end") -> None:
        """Check all promises, and run `emailsys verify`."""
        found, _ = look(self.node, self.ledger, self.accounts, lambda ident: True)
        verdict = self.ledger.check(found)
        queued = self.node.queued()
        away = self.ledger.check_remote(self.sink.taken(), queued)
        flaws = verdict.flaws + [one for one in away.flaws if not one.startswith("doubled")]
        states = Counter(sent.state.name for sent in self.ledger.sent.values())
        self.tell(what, f"{dict(states)}, {len(flaws)} flaws, {len(away.doubled)} relayed twice")
        for one in flaws[:10]:
            self.flaw(what, one)
        for one in self.node.verify()[:10]:
            self.flaw(what, "verify:", one)

    def again(self) -> None:
        """Kill the daemon and start it again."""
        self.node.kill()
        self.tell(f"started again, greeting after {self.node.start():.2f} s")

    def close(self) -> None:
        """Kill everything."""
        with contextlib.suppress(AttributeError):
            self.node.kill()
        self.sink.close()

    def with_disk(self, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Disk:
        """Start a daemon whose disk does as the harness says."""
        state = self.folder / "state"
        state.mkdir(mode=0o700)
        disk = Disk(self.folder, state)
        self.start(settings, state=state, environment=disk.environment)
        return disk
