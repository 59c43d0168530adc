"""Ten of fifty domains are down: how much later has mail to the other forty arrived than where only those have mail?

Messages lie in the queue of a stopped daemon; then it is started, and the time is taken until the last for a living
domain has arrived at smtp-sink. A domain that is down has a host that refuses connections (refused), that lets them
time out (hole), or that accepts them and never says a word (silent). The runs take turns, and medians are compared,
as a shared machine is not the same from one run to the next.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from emailsys.control.requests import QueueChangeRows, Status
from emailsys.interfaces.operators import QueueChange
from tests.live.programs.daemon import Daemon, User
from tests.live.programs.lab import Addresses, NameServer, Sink, wait_for, why_not
from tests.live.programs.wire import plain, smtp

DOMAINS: Final = 50
# Connections that fill the queue: so many messages share a commit.
_FILLING: Final = 40


KINDS: Final = ("refused", "hole", "silent")


def dead_host(address: str, kind: str) -> list[socket.socket]:
    """A host that is down in that way; the sockets are to be kept."""
    if kind == "refused":
        return []
    listening = socket.socket()
    listening.bind((address, 25))
    listening.listen(1000 if kind == "silent" else 0)
    held = [listening]
    if kind == "hole":
        # The queue of a listener is full; the kernel drops who comes after.
        for _ in range(3):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex((address, 25))
            held.append(waiting)
    return held


#: One account submits all of the mail, more than it usually may.
UNLIMITED: Final = "[sending]\nrecipients_per_hour = 0\nrecipients_per_day = 0\n"


def fill(daemon: Daemon, user: User, messages: int, octets: int, skipped: int = 0) -> None:
    """Submit messages for the domains in turn, but those for the first few of them, over many connections; each in
    one segment with its body."""
    line = b"x" * 70 + b"\r\n"
    body = f"From: {user.address}\r\nSubject: a benchmark\r\n\r\n".encode() + line * (octets // len(line))

    def submit(first: int) -> None:
        with smtp(daemon, "submission") as wire:
            assert wire.code(b"AUTH PLAIN " + plain(user)) == 235
            for number in range(first, messages, _FILLING):
                if number % DOMAINS < skipped:
                    continue
                recipient = f"bob@d{number % DOMAINS}.test"
                envelope = f"MAIL FROM:<{user.address}>\r\nRCPT TO:<{recipient}>\r\nBDAT {len(body)} LAST\r\n".encode()
                wire.say(envelope + body)
                assert [wire.reply()[:3] for _ in range(3)] == [b"250"] * 3

    with ThreadPoolExecutor(_FILLING) as threads:
        list(threads.map(submit, range(_FILLING)))


def run(messages: int, octets: int, dead: int, kind: str) -> float:
    """Seconds from the start of sending until each living domain has all of its mail; without a kind the others have
    none."""
    names, addresses = NameServer(), Addresses()
    living = addresses.next()
    held: list[socket.socket] = []
    for number in range(DOMAINS):
        address = living
        if number < dead:
            address = addresses.next()
            held += dead_host(address, kind)
        names.host(f"d{number}.test", address)
    daemon = Daemon(f"{UNLIMITED}[queue]\nstop_grace = 0\n[outbound]\nenabled = false\n{names.config}")
    sink = Sink(living)
    try:
        fill(daemon, daemon.user(), messages, octets, 0 if kind else dead)
        daemon.stop()
        daemon.config_path.write_text(daemon.config_path.read_text().replace("enabled = false\n", ""))
        daemon.start()
        began = time.perf_counter()
        daemon.command(QueueChangeRows(change=QueueChange.RETRY))
        wanted = messages * (DOMAINS - dead) // DOMAINS
        wait_for(lambda: daemon.command(Status())["counters"].get("relayed", 0) >= wanted, 600)
        return time.perf_counter() - began
    finally:
        sink.close()
        daemon.close()
        names.close()
        for one in held:
            one.close()


def main() -> None:
    """Runs in turn, and the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--octets", type=int, default=1024)
    options.add_argument("--dead", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    given = options.parse_args()
    if why_not():
        sys.exit(why_not())
    wanted = given.messages * (DOMAINS - given.dead) // DOMAINS
    taken: dict[str, list[float]] = {kind: [] for kind in ("", *given.kinds)}
    for _ in range(given.rounds):
        for kind, times in taken.items():
            times.append(run(given.messages, given.octets, given.dead, kind))
            print(f"{kind or 'alone'}: {wanted} messages to the living in {times[-1]:.1f} s", flush=True)
    alone = statistics.median(taken[""])
    print(f"alone: {wanted / alone:.0f}/s to {DOMAINS - given.dead} domains")
    for kind in given.kinds:
        seconds = statistics.median(taken[kind])
        print(f"beside {given.dead} that are down ({kind}): {wanted / seconds:.0f}/s, ratio {alone / seconds:.2f}")


if __name__ == "__main__":
    main()
