"""Power cuts: record all that the daemon writes and syncs under load, then cut the power at hundreds of moments.

    python -m benchmarks.crash.power_loss --seconds 12 --cuts 400 --seed 1
    python -m benchmarks.crash.power_loss --sync-errors      # some syncs fail during the load
    python -m benchmarks.crash.power_loss --blackout         # the whole disk is gone for a second, again and again
    python -m benchmarks.crash.power_loss --folder KEPT --only CUT  # repeat one cut; its files stay in KEPT/cut

The shim logs writes, syncs and replies in one order, from the first start in an empty folder on. The harness plays the
log up to a chosen event and builds the files that the disk may have then (see replay.py). SQLite opens them:

* Every message whose "250 2.0.0 queued as ID" had left the daemon must be there with its octets.
* Every message that was deleted with +OK must not be there.

`emailsys verify` runs on each tenth cut, and the daemon starts on each fortieth. The exit status is 1 if a promise was
broken.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import pickle
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.crash.disk import Disk
from benchmarks.crash.ledger import Ledger, State
from benchmarks.crash.load import AWAY, Load, Mix
from benchmarks.crash.node import Node, Ports, hasty
from benchmarks.crash.replay import Event, Kind, Manner, Replay, events
from benchmarks.crash.sink import Sink
from benchmarks.crash.store_check import StoreCheck, number_of, opened
from benchmarks.crash.texts import from_ident
from tests.live.programs.daemon import Failed

_QUEUED = re.compile(rb"250 2\.0\.0 queued as (\w+)")


def record(chosen: argparse.Namespace, folder: Path) -> None:
    """Run the load; write the log and the ledger to the folder."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    disk = Disk(folder, state)
    ports = Ports(chosen.base_port)
    sink = Sink(ports.take()[0], folder / "sink.log")
    route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": sink.port, "tls": "none"}
    lists = [("routing.routes", route)]
    node = Node(folder / "node", ports, hasty(), lists, state=state, environment=disk.environment)
    accounts = [f"u{number}" for number in range(6)]
    ledger = Ledger()
    chance = random.Random(chosen.seed)
    mix = Mix(small=4, large=1, bdat=1, submission=3, readers=2, large_octets=(280_000, 700_000))
    wrong: list[str] = []
    try:
        disk.set(record=1)
        node.start()
        node.add_users(accounts)
        for part in range(4):
            load = Load(node, ledger, accounts, chosen.seed * 10 + part, mix, watched=disk.position)
            load.start()
            deadline = time.monotonic() + chosen.seconds / 4
            while time.monotonic() < deadline:
                time.sleep(0.2)
                if chosen.sync_errors and chance.random() < 0.5:
                    disk.set(
                        suffix=chance.choice(["-wal", ".sqlite", ""]),
                        sync_errno=errno.EIO,
                        sync_count=chance.randint(1, 3),
                    )
                    time.sleep(0.3)
                    disk.heal()
                if chosen.blackout and chance.random() < 0.3:
                    # As if the path to the disk were cut: writes stay in memory, and reads from the disk fail.
                    disk.set(suffix="", sync_errno=errno.EIO, sync_count=-1, read_errno=errno.EIO, read_count=-1)
                    time.sleep(chance.uniform(0.2, 1.5))
                    disk.heal()
            # A start, a shutdown and a recovery have syncs of their own.
            if part % 2:
                load.stop()
                node.drain()
            else:
                disk.freeze()
                node.kill()
                disk.thaw()
                load.stop()
            if part < 3:
                node.start()
            wrong += load.wrong
            trouble = dict(load.trouble.most_common(4))
            print(f"part {part}: {disk.position()} events, {disk.get('failed')} failed, {trouble}")
    finally:
        node.kill()
        sink.close()
    (folder / "ledger").write_bytes(pickle.dumps((ledger.sent, ledger.quits, disk.environment["DISK_PREFIX"])))
    for one in wrong:
        print("WRONG", one)
    print(
        f"{ledger.count(State.ACCEPTED)} accepted, {sum(len(one.idents) for one in ledger.quits if one.sure)} deleted"
    )


class Cuts:
    """The cuts of one log."""

    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        self.chosen = chosen
        self.folder = folder
        self.ports = Ports(None if chosen.base_port is None else chosen.base_port + 10)
        sent, self.quits, self.prefix = pickle.loads((folder / "ledger").read_bytes())
        self.by_id = {one.queue_id: one for one in sent.values() if one.queue_id}
        self.log: list[Event] = list(events(folder / "disk.log"))
        self.promised: dict[str, int] = {}
        for event in self.log:
            if event.kind is Kind.SEND:
                for queue_id in _QUEUED.findall(event.data):
                    self.promised[queue_id.decode()] = event.number
        self.flaws: list[str] = []
        self.manners: Counter[str] = Counter()
        self.verified = self.started = 0

    def moments(self) -> list[int]:
        """The events to cut at: any, those right after a promise, and those around syncs and changes of names."""
        chance = random.Random(self.chosen.seed)
        kinds: dict[Kind, list[int]] = {}
        for event in self.log:
            kinds.setdefault(event.kind, []).append(event.number)
        behind = [number + 1 for number in self.promised.values()]
        rare = [
            n + step
            for k in (Kind.CREATE, Kind.UNLINK, Kind.DIR_SYNC, Kind.TRUNCATE, Kind.RENAME)
            for n in kinds.get(k, [])
            for step in (0, 1)
        ]
        syncs = [number + step for number in kinds.get(Kind.SYNC_END, []) for step in (0, 1)]
        cuts = self.chosen.cuts
        places = [
            *(chance.randrange(len(self.log)) for _ in range(cuts // 4)),
            *chance.sample(behind, min(len(behind), cuts // 3)),
            *chance.sample(syncs, min(len(syncs), cuts // 5)),
        ]
        places += chance.sample(rare, min(len(rare), cuts - len(places)))
        return sorted(places)

    def run(self, moments: Sequence[int]) -> None:
        """Play the log once, and cut at each moment."""
        replay, played = Replay(), 0
        chance = random.Random(self.chosen.seed + 1)
        manners = list(Manner)
        for number, moment in enumerate(moments):
            while played < moment:
                replay.play(self.log[played], chance)
                played += 1
            manner = manners[number % len(manners)]
            if self.chosen.only is not None and self.chosen.only != number:
                continue
            self.manners[manner.value] += 1
            target = self.folder / "cut"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(mode=0o700)
            for name, octets in replay.cut(random.Random(f"{self.chosen.seed}.{number}"), manner).items():
                path = target / Path(name).relative_to(self.prefix)
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(octets)
            found = self.judge(target, moment, number)
            for flaw in found:
                self.flaws.append(f"cut {number} at event {moment} of {len(self.log)} ({manner.value}): {flaw}")
                print(self.flaws[-1], flush=True)

    def judge(self, target: Path, moment: int, number: int) -> list[str]:
        """The flaws after one cut."""
        node = Node(self.folder / "again", self.ports, state=target)
        found: list[str] = []
        path = target / "mail.sqlite"
        promised = [queue_id for queue_id, at in self.promised.items() if at < moment]
        if not path.exists() or not path.stat().st_size:
            return [f"no store, and {len(promised)} were promised"] if promised else found
        # A cut before the first commit leaves a file without tables, which emailsys takes for no store.
        if not promised and opened(path, lambda check: [] if check.tables else ["no table"]):
            return found
        if number % 40 == 0 or self.chosen.only is not None:
            self.started += 1
            try:
                node.start()
                found += node.verify()
            except Failed as error:
                found.append(str(error))
            finally:
                node.kill()
        elif number % 10 == 0:
            self.verified += 1
            found += node.verify()
        return found + opened(path, lambda check: self.compare(check, moment))

    def compare(self, check: StoreCheck, moment: int) -> list[str]:
        """Compare a store with the promises that were given before a moment."""
        found = check.flaws()
        known, drops, away = check.messages(), check.maildrops(), check.away()
        gone = {(one.account, i): one for one in self.quits for i in one.idents}
        for queue_id, at in self.promised.items():
            sent = self.by_id.get(queue_id)
            if at >= moment or sent is None:
                continue
            key = number_of(queue_id)
            if key not in known:
                found.append(f"{queue_id} was answered 250 at event {at} and is not there")
                continue
            for account in sent.local:
                quitting = gone.get((account, sent.ident))
                count = drops[account, key]
                if quitting is not None and quitting.sure and quitting.position <= moment:
                    if count:
                        found.append(f"{queue_id} was deleted by {account} with +OK and is there")
                elif count != 1 and (quitting is None or quitting.asked >= moment):
                    found.append(f"{queue_id} is {count} times in the maildrop of {account}")
                if count and from_ident(check.body(key)) and self.differs(check.body(key), sent.digest):
                    found.append(f"{queue_id} has other octets")
            found += [f"{queue_id}: {one} is nowhere" for one in sent.remote if (key, one) not in away]
        return found

    @staticmethod
    def differs(body: bytes, digest: str) -> bool:
        """Whether a body differs from what was sent."""
        return hashlib.sha256(from_ident(body)).hexdigest() != digest


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="of load")
    parser.add_argument("--cuts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sync-errors", action="store_true", help="some syncs fail during the load")
    parser.add_argument(
        "--blackout", action="store_true", help="all syncs and reads fail for a second, again and again"
    )
    Ports.option(parser)
    parser.add_argument("--folder", type=Path, help="kept; a log that lies there already is played again")
    parser.add_argument("--only", type=int, metavar="CUT")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory(prefix="power-loss-") as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ledger").exists():
            record(chosen, folder)
        cuts = Cuts(chosen, folder)
        kinds = Counter(event.kind.name for event in cuts.log)
        octets = sum(len(event.data) for event in cuts.log if event.kind is Kind.WRITE)
        print(f"{len(cuts.log)} events: {dict(kinds)}; {octets / 2**20:.0f} MiB; {len(cuts.promised)} promises seen")
        moments = cuts.moments()
        cuts.run(moments)
        count = sum(cuts.manners.values())
        print(f"{count} cuts {json.dumps(cuts.manners)}, {cuts.verified} verified, {cuts.started} started")
        print(f"{len(cuts.flaws)} flaws")
    return 1 if cuts.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
