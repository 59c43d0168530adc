"""Rounds of load, SIGKILL at a random moment, restart, and a check of every promise by digest.

    python -m benchmarks.crash.kill_rounds --rounds 100 --seed 1
    python -m benchmarks.crash.kill_rounds --rounds 10 --engine postgresql --kill-database 0.3

After each kill:

* A message that was answered 250 is in its maildrops exactly once with its octets, or was deleted with +OK.
* A message that was deleted with +OK does not come back.
* A QUIT without a reply deleted all of its messages or none.
* A message without a reply is in the maildrops of all its recipients or of none.
* Each remote recipient is in the queue, or the sink took the message.

Every tenth round runs `emailsys verify` as well. The exit status is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

from benchmarks.crash.ledger import Ledger, State
from benchmarks.crash.load import AWAY, Load, Mix, look
from benchmarks.crash.node import Node, Ports, hasty, until
from benchmarks.crash.postgres import Server
from benchmarks.crash.sink import Sink
from tests.live.programs.daemon import Failed


class Rounds:
    """The rounds, their totals and their flaws."""

    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        self.chosen = chosen
        self.chance = random.Random(chosen.seed)
        ports = Ports(chosen.base_port)
        self.server = Server(folder / "postgresql", ports.take()[0]) if chosen.engine == "postgresql" else None
        self.sink = Sink(ports.take()[0], folder / "sink.log")
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": self.sink.port, "tls": "none"}
        self.node = Node(
            folder / "node",
            ports,
            hasty(self.server.url() if self.server else None),
            [("routing.routes", route)],
        )
        self.accounts = [f"u{number}" for number in range(chosen.accounts)]
        self.ledger = Ledger()
        self.totals: Counter[str] = Counter()
        self.starts: list[float] = []
        self.flaws: list[str] = []
        # Promises to remote recipients stand until the end.
        self.away = Ledger()

    def run(self) -> None:
        """Run all rounds."""
        self.node.start()
        self.node.add_users(self.accounts)
        deadline = time.monotonic() + self.chosen.minutes * 60
        for number in range(1, self.chosen.rounds + 1):
            if time.monotonic() > deadline:
                break
            self.round(number)
            if number % 10 == 0:
                self.flaws += self.node.verify()
        self.end()

    def round(self, number: int) -> None:
        """Run one round."""
        load = Load(self.node, self.ledger, self.accounts, number, Mix(), prefix=f"{self.chosen.seed}r")
        load.start()
        time.sleep(self.chance.uniform(0.2, self.chosen.longest))
        manner = self.die()
        load.stop()
        flying = self.in_flight()
        self.restart()
        found, kept = look(self.node, self.ledger, self.accounts, lambda ident: zlib.crc32(ident.encode()) % 10 == 0)
        verdict = self.ledger.check(found)
        verdict.other += load.wrong
        for sent in self.ledger.sent.values():
            if sent.remote:
                self.away.sent[sent.ident] = sent
        queued = self.node.queued()
        remote = self.away.check_remote(self.sink.taken(), queued)
        # A duplicate is one in every later round too; `end` counts them.
        remote.doubled.clear()
        self.count(verdict.kept_in_doubt, verdict.gone_in_doubt, flying)
        flaws = verdict.flaws + remote.flaws
        self.flaws += [f"round {number}: {flaw}" for flaw in flaws]
        accepted = sum(sent.state is State.ACCEPTED for sent in self.ledger.sent.values())
        print(
            f"round {number:3} {manner:22} accepted {accepted:5}, in flight {dict(flying)}, queued {len(queued)}, "
            f"start {self.starts[-1]:.2f} s, flaws {len(flaws)}, "
            f"load {dict(load.trouble.most_common(3))}",
            flush=True,
        )
        for flaw in flaws[:5]:
            print("    ", flaw, flush=True)
        self.ledger.settle(found, kept, number)

    def die(self) -> str:
        """Kill the daemon, or its database and then the daemon; returns how."""
        dice = self.chance.random()
        if self.server is not None and dice < self.chosen.kill_database:
            self.server.kill()
            time.sleep(self.chance.uniform(0.0, 1.0))
            self.node.kill()
            self.server.start()
            return "database, then daemon"
        if dice > 0.9:
            self.node.signal(signal.SIGTERM)
            time.sleep(self.chance.uniform(0.0, 0.5))
            self.node.kill()
            return "while it drained"
        self.node.kill()
        return "kill -9"

    def restart(self) -> None:
        """Start the daemon; by chance kill it once more while it starts."""
        if self.chance.random() < 0.15:
            self.node.launch()
            time.sleep(self.chance.uniform(0.1, 1.2))
            self.node.kill()
            self.totals["killed while starting"] += 1
        self.starts.append(self.node.start())

    def in_flight(self) -> Counter[str]:
        """Count what was under way when the daemon died."""
        flying: Counter[str] = Counter()
        for sent in self.ledger.sent.values():
            if sent.state is State.BEGUN:
                flying["begun"] += 1
            elif sent.state is State.WHOLE:
                flying["whole"] += 1
        flying["quits"] = sum(not one.sure for one in self.ledger.quits)
        return flying

    def count(self, kept: int, gone: int, flying: Counter[str]) -> None:
        """Add a round to the totals."""
        self.totals["rounds"] += 1
        self.totals["in doubt and kept"] += kept
        self.totals["in doubt and not kept"] += gone
        for name, value in flying.items():
            self.totals[f"in flight: {name}"] += value
        self.totals["in flight"] += sum(flying.values())
        self.totals["deleted with +OK"] += sum(len(one.idents) for one in self.ledger.quits if one.sure)
        for sent in self.ledger.sent.values():
            if sent.state is State.ACCEPTED and sent.position == 0:
                sent.position = 1
                self.totals["accepted"] += 1
                self.totals["accepted octets"] += sent.octets

    def end(self) -> None:
        """Wait until the queue is empty, then check what the sink took and how often."""
        if not until(lambda: not self.node.queued(), 120, 0.5):
            self.flaws.append(f"the queue does not become empty: {self.node.queued()[:3]}")
        remote = self.away.check_remote(self.sink.taken(), self.node.queued())
        self.totals["relayed"] = sum(self.sink.taken().counts.values())
        self.totals["relayed twice (RFC 1047)"] = len(remote.doubled)
        remote.doubled.clear()
        self.flaws += remote.flaws + self.node.verify()

    def close(self) -> None:
        """Kill everything."""
        self.node.kill()
        self.sink.close()
        if self.server is not None:
            self.server.kill()

    def report(self) -> None:
        """Print the totals and the flaws."""
        for name, value in sorted(self.totals.items()):
            print(f"{value:>12,}  {name}")
        starts = sorted(self.starts)
        if starts:
            print(f"{starts[len(starts) // 2]:>12.2f}  seconds to the first greeting, median; most {starts[-1]:.2f}")
        print(f"{len(self.flaws):>12}  flaws")
        for flaw in self.flaws[:50]:
            print("FLAW", flaw)


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=20.0, help="begin no round after this time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument(
        "--kill-database", type=float, default=0.0, metavar="PART", help="of the rounds, 0 to 1: kill PostgreSQL first"
    )
    parser.add_argument("--accounts", type=int, default=9)
    parser.add_argument("--longest", type=float, default=2.5, help="seconds of load at most")
    Ports.option(parser)
    parser.add_argument("--folder", type=Path, help="kept; by default a temporary one")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.engine}")
    with tempfile.TemporaryDirectory(prefix="kill-rounds-") as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        rounds = Rounds(chosen, folder)
        try:
            rounds.run()
        except Failed as error:
            rounds.flaws.append(f"the daemon failed: {error}")
        finally:
            rounds.close()
        rounds.report()
    return 1 if rounds.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
