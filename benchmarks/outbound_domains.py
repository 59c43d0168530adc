"""Ten of fifty domains are down: how much later does mail to the other forty arrive than where none is down?

Messages lie in the queue of a stopped daemon; then it is started, and the time is taken until the last for a living
domain has arrived at smtp-sink. Dead domains are hosts that accept the connection and never say a word.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.live.daemon import Daemon, User
from tests.live.lab import Addresses, NameServer, Sink, wait_for, why_not
from tests.live.wire import plain, smtp

DOMAINS: Final = 50
# Connections that fill the queue: so many messages share a commit.
_FILLING: Final = 40
EVERYTHING: Final[dict[str, object]] = {"queue_ids": [], "domain": "", "sender": "", "state": None, "older_than": 0}


def dead_host(address: str) -> socket.socket:
    """A host that accepts and never answers."""
    listening = socket.socket()
    listening.bind((address, 25))
    listening.listen(1000)
    return listening


def fill(daemon: Daemon, user: User, messages: int, octets: int) -> None:
    """Submit messages for the domains in turn, over many connections, each message in one segment with its body."""
    line = b"x" * 70 + b"\r\n"
    body = b"Subject: a benchmark\r\n\r\n" + line * (octets // len(line))

    def submit(first: int) -> None:
        with smtp(daemon, "submission") as wire:
            assert wire.code(b"AUTH PLAIN " + plain(user)) == 235
            for number in range(first, messages, _FILLING):
                recipient = f"bob@d{number % DOMAINS}.test"
                envelope = f"MAIL FROM:<{user.address}>\r\nRCPT TO:<{recipient}>\r\nBDAT {len(body)} LAST\r\n".encode()
                wire.say(envelope + body)
                assert [wire.reply()[:3] for _ in range(3)] == [b"250"] * 3

    with ThreadPoolExecutor(_FILLING) as threads:
        list(threads.map(submit, range(_FILLING)))


def run(messages: int, octets: int, dead: int) -> float:
    """Seconds from the start of sending until each living domain has all of its mail."""
    names, addresses = NameServer(), Addresses()
    living = addresses.next()
    silent = []
    for number in range(DOMAINS):
        if number < dead:
            address = addresses.next()
            silent.append(dead_host(address))
        else:
            address = living
        names.host(f"d{number}.test", address)
    daemon = Daemon(f"[outbound]\nenabled = false\n{names.config}")
    sink = Sink(living)
    try:
        fill(daemon, daemon.user(), messages, octets)
        daemon.stop()
        daemon.config_path.write_text(daemon.config_path.read_text().replace("enabled = false\n", ""))
        daemon.start()
        began = time.perf_counter()
        daemon.command({"command": "queue.change", "change": "retry", **EVERYTHING})
        wanted = messages * (DOMAINS - dead) // DOMAINS
        wait_for(lambda: daemon.command({"command": "status"})["counters"].get("relayed", 0) >= wanted, 600)
        return time.perf_counter() - began
    finally:
        sink.close()
        daemon.close()
        names.close()
        for listening in silent:
            listening.close()


def main() -> None:
    """Both runs, and the ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--octets", type=int, default=1024)
    options.add_argument("--dead", type=int, default=10)
    given = options.parse_args()
    if why_not():
        sys.exit(why_not())
    share = (DOMAINS - given.dead) / DOMAINS
    all_up = run(given.messages, given.octets, 0)
    print(f"none down: {given.messages} messages in {all_up:.1f} s, {given.messages / all_up:.0f}/s")
    some_down = run(given.messages, given.octets, given.dead)
    wanted = int(given.messages * share)
    rate = wanted / some_down
    print(f"{given.dead} of {DOMAINS} down: {wanted} messages to the others in {some_down:.1f} s, {rate:.0f}/s")
    print(f"ratio of the rates to living domains: {rate / (given.messages / all_up):.2f}")


if __name__ == "__main__":
    main()
