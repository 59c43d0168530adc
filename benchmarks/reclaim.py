"""How soon the file gives the room of deleted mail back, and how long a message that arrives meanwhile waits.

python -m benchmarks.reclaim [--gibibytes 10] [--mebibytes 1]
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from pathlib import Path

from benchmarks import flow, process
from benchmarks.memory import CHUNK
from emailsys.config.settings import DATABASE_NAME
from emailsys.store.maintenance.sweeper import RESERVE_OCTETS
from tests.live.programs import messages
from tests.live.programs.daemon import Daemon, User
from tests.live.programs.wire import pop3, smtp

# Seconds between two looks into the store whether anything is left to be done, and after which it is given up.
LOOK_EVERY = 0.25
PATIENCE = 600.0


def is_done(path: Path) -> bool:
    """Whether all bodies are deleted and all free pages but the reserve are given back."""
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (waiting,) = store.execute("SELECT count(*) FROM (SELECT 1 FROM reclaim LIMIT 1)").fetchone()
        (free,) = store.execute("PRAGMA freelist_count").fetchone()
        (page,) = store.execute("PRAGMA page_size").fetchone()
    finally:
        store.close()
    # Mail that comes meanwhile takes some of the reserve and gives it back.
    return not waiting and int(free) * int(page) <= RESERVE_OCTETS + (1 << 20)


def fill(daemon: Daemon, recipient: str, count: int, octets: int) -> float:
    """Bring so many messages; returns the seconds it took."""
    body = (
        messages.header("a@example.org", recipient, "large")
        + b"\r\n"
        + (b"0123456789abcdef" * 4 + b"\r\n") * (octets // 66)
    )
    envelope = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient.encode()
    began = time.perf_counter()
    with smtp(daemon) as wire:
        for _ in range(count):
            wire.say(envelope)
            assert [wire.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
            for start in range(0, len(body), CHUNK):
                wire.say(body[start : start + CHUNK])
            assert wire.ask(b".").startswith(b"250")
    return time.perf_counter() - began


def empty(daemon: Daemon, user: User, count: int) -> float:
    """Delete all by POP3; returns the seconds that QUIT took, which is when it is committed."""
    with pop3(daemon, user) as wire:
        for start in range(1, count + 1, 100):
            numbers = range(start, min(start + 100, count + 1))
            wire.say(b"".join(b"DELE %d\r\n" % number for number in numbers))
            for _ in numbers:
                assert wire.line().startswith(b"+OK")
        began = time.perf_counter()
        assert wire.ask(b"QUIT").startswith(b"+OK")
        return time.perf_counter() - began


def main() -> None:
    """Fill, measure small messages alone, delete, measure them while the file shrinks."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gibibytes", type=float, default=10.0, help="that are deleted")
    options.add_argument("--mebibytes", type=float, default=1.0, help="of a message")
    given = options.parse_args()
    octets = int(given.mebibytes * (1 << 20))
    count = max(1, int(given.gibibytes * (1 << 30)) // octets)
    daemon = Daemon()
    try:
        full, other = daemon.user(), daemon.user()
        path = daemon.state / DATABASE_NAME
        took = fill(daemon, full.address, count, octets)
        print(f"{count} messages of {octets} octets in {took:.0f} s")
        alone = flow.flow(daemon.ports["smtp"], [other.address], 4096, 1, lambda seen, seconds: seconds < 3.0)
        print(f"4096 octets alone: {alone}, longest {alone.percentile(1.0):.0f} ms")
        size = path.stat().st_size
        used = process.cpu_seconds(daemon.pid)
        print(f"the file has {size >> 20} MiB; QUIT took {empty(daemon, full, count):.2f} s")
        looked = 0.0

        def go_on(seen: flow.Figures, seconds: float) -> bool:
            nonlocal looked
            if seconds < looked + LOOK_EVERY:
                return True
            looked = seconds
            return seconds < PATIENCE and not is_done(path)

        beside = flow.flow(daemon.ports["smtp"], [other.address], 4096, 1, go_on)
        left = path.stat().st_size
        print(f"{(size - left) >> 20} MiB given back in {looked:.0f} s, {left >> 20} MiB left with what came since")
        print(f"4096 octets beside it: {beside}, longest {beside.percentile(1.0):.0f} ms")
        print(f"CPU of the daemon, mail included: {process.cpu_seconds(daemon.pid) - used:.1f} s")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
