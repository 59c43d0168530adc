"""How long a message that arrives waits while operators' commands, and a large QUIT, work on a large store.

python -m benchmarks.operators [--messages 100000]
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks import flow
from benchmarks.reclaim import empty
from emailsys.control.requests import DomainList, Trace, UserList, UserRemove, Verify
from emailsys.mail.address import Address
from tests.live.programs.daemon import Daemon

OCTETS = 4096


def through(daemon: Daemon, request: Verify | Trace) -> Callable[[], int]:
    """Ask in parts of two seconds, as the command line does, to the end; returns how many parts there were."""

    def ask() -> int:
        cursor, parts = None, 0
        while cursor is not None or not parts:
            answer = daemon.command(replace(request, cursor=cursor, seconds=2))
            cursor, parts = answer["cursor"], parts + 1
            assert not answer.get("flaws"), answer["flaws"][:3]
        return parts

    return ask


def beside(daemon: Daemon, recipient: str, what: str, work: Callable[[], object]) -> None:
    """Send small messages one after the other until the work is done, and say how long they took."""
    took = [0.0]

    def run() -> None:
        began = time.perf_counter()
        work()
        took[0] = time.perf_counter() - began

    thread = threading.Thread(target=run)
    thread.start()
    seen = flow.flow(daemon.ports["smtp"], [recipient], OCTETS, 1, lambda seen, seconds: thread.is_alive())
    thread.join()
    print(f"{what}: {took[0]:.2f} s; mail meanwhile: {seen}, longest {seen.percentile(1.0):.0f} ms", flush=True)


def main() -> None:
    """Fill, then one command after the other."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=100_000)
    count = options.parse_args().messages
    daemon = Daemon()
    try:
        # The first is the postmaster, who could not be removed.
        other, full = daemon.user(), daemon.user()
        filled = flow.flow(
            daemon.ports["smtp"], [full.address], OCTETS, 50, lambda seen, _: len(seen.latencies) < count
        )
        count = len(filled.latencies)
        print(f"{count} messages of {OCTETS} octets in {filled.seconds:.0f} s", flush=True)
        for what, work in (
            ("nothing else", lambda: time.sleep(3.0)),
            ("verify", through(daemon, Verify())),
            ("trace of an address that nobody has", through(daemon, Trace("no@body.test", 1))),
            ("user list", lambda: daemon.command(UserList())),
            ("domain list", lambda: daemon.command(DomainList())),
            ("a QUIT that deletes all", lambda: empty(daemon, full, count)),
        ):
            beside(daemon, other.address, what, work)
        for _ in range(count // 10_000):
            flow.flow(daemon.ports["smtp"], [full.address], 1024, 50, lambda seen, _: len(seen.latencies) < 10_000)
        owner = Address(*full.address.split("@"))
        beside(
            daemon,
            other.address,
            "user remove --purge",
            lambda: daemon.command(UserRemove(owner, True)),
        )
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
