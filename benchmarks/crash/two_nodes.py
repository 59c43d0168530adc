"""Two daemons on one PostgreSQL store: one dies or hangs, the database does, both open the same maildrop.

    python -m benchmarks.crash.two_nodes              # all parts
    python -m benchmarks.crash.two_nodes kill_one     # some of them

After each part every promise is checked as kill_rounds does. The exit status is 1 if one was broken.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.load import AWAY, Load, Mix, look
from benchmarks.crash.node import Node, Ports, address, hasty, merged, until
from benchmarks.crash.postgres import Server
from benchmarks.crash.sink import Sink
from benchmarks.crash.texts import make_text

MIX: Final = Mix(small=3, large=1, bdat=1, submission=3, readers=2)
# Seconds without a sign of life after which a daemon that hangs loses its leases.
LEASE: Final = 30
# Seconds of silence after which a session loses its maildrop to a login.
TAKEOVER: Final = 30


class Pair:
    """Two daemons, a database, a sink, and the promises to their clients."""

    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        self.seed = chosen.seed
        self.folder = folder
        folder.chmod(0o755)
        ports = Ports(chosen.base_port)
        self.server = Server(folder / "postgresql", ports.take()[0])
        self.sink = Sink(ports.take()[0], folder / "sink.log")
        self.accounts = [f"u{number}" for number in range(8)]
        self.ledger = Ledger()
        self.flaws = 0
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": self.sink.port, "tls": "none"}
        settings = merged(
            hasty(self.server.url()), {"queue": {"lease": f"{LEASE}s"}, "pop3": {"takeover_after": TAKEOVER}}
        )
        self.a, self.b = (Node(folder / name, ports, settings, [("routing.routes", route)]) for name in "ab")
        self.a.start()
        self.b.start()
        self.a.add_users(self.accounts)
        self.loads: list[Load] = []

    def tell(self, *words: object) -> None:
        """Print a line of the report."""
        print(*words, flush=True)

    def flaw(self, *words: object) -> None:
        """Report a broken promise."""
        self.flaws += 1
        self.tell("FLAW", *words)

    def load(self) -> None:
        """Start clients of both."""
        for number, node in enumerate((self.a, self.b)):
            load = Load(
                node, self.ledger, self.accounts, self.seed * 10 + number, MIX, prefix=f"n{number}-{len(self.loads)}-"
            )
            load.start()
            self.loads.append(load)

    def stop_load(self) -> None:
        """Stop the clients, and tell what they saw."""
        for load in self.loads:
            load.stop()
        trouble = sum((load.trouble for load in self.loads), Counter())
        self.tell("  clients saw", dict(trouble.most_common(6)))

    def probe(self, node: Node) -> str:
        """The replies to a message and to a login, and the time until they came."""
        heard = []
        began = time.monotonic()
        try:
            with Smtp(node, timeout=70) as smtp:
                heard.append(
                    smtp.send("x@y.test", [address("u7")], make_text("probe", 300, random.Random(1)))[:20].decode()
                )
        except (Gone, Refused) as why:
            heard.append(str(why)[:60])
        heard.append(f"{time.monotonic() - began:.2f} s")
        began = time.monotonic()
        try:
            with Pop3(node, timeout=70) as pop3:
                pop3.login(address("u6"))
                heard.append("+OK")
        except (Gone, Refused) as why:
            heard.append(str(why)[:60])
        return ", ".join([*heard, f"{time.monotonic() - began:.2f} s"])

    def check(self, node: Node) -> None:
        """Check all promises at one node."""
        found, _ = look(node, self.ledger, self.accounts, lambda ident: True)
        verdict = self.ledger.check(found)
        if not until(lambda: not node.queued(), LEASE + 60, 0.5):
            self.flaw(f"the queue does not become empty: {node.queued()[:2]}")
        remote = self.ledger.check_remote(self.sink.taken(), node.queued())
        states = Counter(sent.state.name for sent in self.ledger.sent.values())
        self.tell(
            f"  {dict(states)}; in doubt: {verdict.kept_in_doubt} kept, {verdict.gone_in_doubt} not; "
            f"{len(remote.doubled)} of {sum(self.sink.taken().counts.values())} relayed twice"
        )
        remote.doubled.clear()
        wrong = [one for load in self.loads for one in load.wrong]
        for one in [*verdict.flaws, *remote.flaws, *wrong, *node.verify()][:10]:
            self.flaw(one)

    def close(self) -> None:
        """Kill everything."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        for node in (self.a, self.b):
            node.signal(signal.SIGCONT)
            node.kill()
        self.sink.close()
        self.server.kill()


def kill_one(pair: Pair) -> None:
    """One daemon is killed under load; the other takes over the queue rows that the dead one had leased."""
    pair.load()
    time.sleep(3)
    pair.a.kill()
    died = time.monotonic()
    time.sleep(2)
    pair.stop_load()
    leased = [row for row in pair.b.queued() if row["state"] == "leased"]
    pair.tell(f"  {len(leased)} rows leased by the dead one")
    until(lambda: not pair.b.queued(), 60, 0.2)
    pair.tell(f"  the queue is empty {time.monotonic() - died:.1f} s after the death")
    pair.tell("  the other:", pair.probe(pair.b))
    staged = pair.server.sql(
        "SELECT count(*), coalesce(sum(length(content)), 0) FROM bodies JOIN staged USING (body_id)"
    ).strip()
    pair.tell(f"  staged bodies of the dead one, and octets: {staged}")
    pair.check(pair.b)
    pair.tell(f"  it starts again after {pair.a.start():.2f} s")
    time.sleep(3)
    pair.tell("  staged then:", pair.server.sql("SELECT count(*) FROM staged").strip())


def hang_one(pair: Pair) -> None:
    """One daemon stands still until the other takes its leases, then goes on. What it was sending may come twice."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    pair.load()
    time.sleep(3)
    pair.a.signal(signal.SIGSTOP)
    time.sleep(LEASE + 15)
    pair.tell("  the other meanwhile:", pair.probe(pair.b))
    pair.a.signal(signal.SIGCONT)
    time.sleep(3)
    pair.stop_load()
    pair.check(pair.a)


def maildrops(pair: Pair) -> None:
    """A maildrop is open at one daemon and opened at the other, while the first runs, hangs, is cut off and is dead."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    with Smtp(pair.a) as smtp:
        for number in range(5):
            smtp.send("x@y.test", [address("u0")], make_text(f"m{number}", 300, random.Random(number)))

    def other() -> str:
        began = time.monotonic()
        try:
            with Pop3(pair.b, timeout=30) as pop3:
                pop3.login(address("u0"))
                count = len(pop3.uidl())
                return f"+OK, {count} messages, after {time.monotonic() - began:.2f} s"
        except (Gone, Refused) as why:
            return f"{why} after {time.monotonic() - began:.2f} s"

    # B learns of new accounts within a second.
    until(lambda: other().startswith("+OK"), 30, 0.2)
    first = Pop3(pair.a, timeout=30)
    first.login(address("u0"))
    first.demand("DELE 1")
    heard = other()
    pair.tell("  open at A, opened at B:", heard)
    if "IN-USE" not in heard:
        pair.flaw("two sessions at once")
    pair.a.signal(signal.SIGSTOP)
    time.sleep(TAKEOVER + 5)
    heard = other()
    pair.tell(f"  A hangs for {TAKEOVER + 5} s:", heard)
    if "+OK" not in heard:
        pair.flaw("no takeover from a node that hangs")
    pair.a.signal(signal.SIGCONT)
    first.say(b"QUIT\r\n")
    heard = first.line().decode()
    pair.tell("  A's QUIT with a delete:", heard)
    if heard.startswith("+OK"):
        pair.flaw("a session that lost its maildrop deleted a message")
    first.close()
    first = Pop3(pair.a, timeout=30)
    first.login(address("u0"))
    first.demand("DELE 1")
    # A loses its connections to the database. B may take the maildrop then, and A must not delete.
    holders = pair.server.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'"
    ).strip()
    pair.tell(f"  {holders} lock connections cut:", other())
    try:
        first.say(b"QUIT\r\n")
        pair.tell("  A's QUIT with a delete, after B had it:", first.line().decode())
    except Gone as why:
        pair.tell("  A's QUIT:", why)
    time.sleep(8)
    pair.tell("  messages then:", other())
    second = Pop3(pair.a, timeout=30)
    second.login(address("u0"))
    pair.a.kill()
    pair.tell("  A is killed:", other())
    time.sleep(1)
    pair.tell("  a second later:", other())
    second.close()
    first.close()


def kill_database(pair: Pair) -> None:
    """The database is killed under load, and is back after some seconds, three times."""
    pair.load()
    for _ in range(3):
        time.sleep(3)
        pair.server.kill()
        pair.tell("  no database:", pair.probe(pair.a))
        time.sleep(3)
        pair.server.start()
        began = time.monotonic()
        until(lambda: pair.probe(pair.a).startswith("250"), 60, 0.1)
        until(lambda: pair.probe(pair.b).startswith("250"), 60, 0.1)
        pair.tell(f"  both take mail {time.monotonic() - began:.2f} s after it is back")
    pair.stop_load()
    pair.check(pair.b)


def hang_database(pair: Pair) -> None:
    """The database stands still for 22 seconds, then goes on."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    pair.load()
    time.sleep(3)
    pair.server.signal(signal.SIGSTOP)
    time.sleep(2)
    pair.tell("  it hangs:", pair.probe(pair.a))
    time.sleep(20)
    pair.server.signal(signal.SIGCONT)
    time.sleep(3)
    pair.tell("  it goes on:", pair.probe(pair.a), "|", pair.probe(pair.b))
    pair.stop_load()
    pair.check(pair.b)


PARTS: Final[Sequence[Callable[[Pair], None]]] = (kill_one, hang_one, maildrops, kill_database, hang_database)


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *(part.__name__ for part in PARTS)])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    Ports.option(parser)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    flaws = 0
    for part in PARTS:
        if chosen.parts and part.__name__ not in chosen.parts:
            continue
        print(f"{part.__name__}: {part.__doc__}", flush=True)
        with tempfile.TemporaryDirectory(prefix="two-nodes-") as temporary:
            pair = Pair(chosen, Path(temporary))
            try:
                part(pair)
            finally:
                pair.close()
            flaws += pair.flaws
    print(f"{flaws} flaws")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
