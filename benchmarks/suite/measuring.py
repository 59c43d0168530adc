"""One run of a workload: what the clients saw, what arrived, and what it cost the server."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.suite.generator import Generator, Result, result_of
from benchmarks.suite.servers import Server

#: The percentiles that a result has, in milliseconds.
LATENCIES: Final = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
# Seconds between two looks at the server, and how many in a row must show no CPU time: then it is idle.
_LOOK: Final = 0.1
_QUIET_LOOKS: Final = 3
# Seconds within which all accepted messages must be in their maildrops.
_DELIVERY_PATIENCE: Final = 120.0
# Seconds between two samples of memory.
_SAMPLE: Final = 0.5


@dataclass(frozen=True)
class Accounts:
    """A range of accounts."""

    first: int
    count: int

    def options(self) -> Result:
        """Return them as options of the load generator."""
        return {"u0": self.first, "un": self.count}


@dataclass
class Cost:
    """What the server used from the beginning of a run until it was idle again."""

    cpu_s: float = 0.0
    peak_mib: float = 0.0
    #: Seconds until the server was idle.
    seconds: float = 0.0


@dataclass
class Subject:
    """A server under load."""

    server: Server
    generator: Generator
    users: Path
    ca: Path
    #: Seconds after which a run begins nothing new, and the factor of all numbers of messages and sessions.
    seconds: float = 8.0
    scale: float = 1.0
    flaws: list[str] = field(default_factory=list)

    def scaled(self, number: int) -> int:
        """Return the number of messages or sessions of a run."""
        return max(1, round(number * self.scale))

    def flaw(self, text: str) -> None:
        """Note that a message was lost or changed, or that a client failed."""
        self.flaws.append(text)

    def load(self, mode: str, service: str, tls: str = "none", **options: Any) -> Result:
        """Run the generator against a service."""
        return self.generator.run(mode, self.server.ports[service], **self._options(tls, options))

    def _options(self, tls: str, options: Result) -> Result:
        ca = None if options.get("no_verify") else self.ca
        return {"users": self.users, "tls": tls, "cafile": ca, **options}

    def sessions(self, accounts: Accounts, steps: str, number: int | None = None, **options: Any) -> Result:
        """Run POP3 sessions, one for each account unless a number is given; all that fails is a flaw."""
        count = accounts.count if number is None else number
        tls = options.pop("tls", "none")
        given = {"conc": min(accounts.count, 4), "timeout": 120, "n": count, **accounts.options(), **options}
        result = self.load("pop3", "pop3" if tls == "none" else "pop3s", tls, steps=steps, **given)
        self.check(result)
        return result

    def check(self, result: Result) -> None:
        """Note what failed, and each message that is not what was sent."""
        for one in result["errors"]:
            self.flaw(f"{one['n']} times: {one['what']}")
        if changed := result["crc_bad"] + result["crc_missing"]:
            self.flaw(f"{changed} of {result['retr']} messages were changed")

    def count(self, accounts: Accounts) -> int:
        """Return how many messages these accounts have."""
        return int(self.sessions(accounts, "stat")["stat_msgs"])

    def take_all(self, accounts: Accounts, expected: int | None = None) -> None:
        """Fetch, compare and delete all messages of these accounts."""
        taken = int(self.sessions(accounts, "stat,retr,dele")["retr"])
        if expected is not None and taken != expected:
            self.flaw(f"{expected} messages were accepted, {taken} have arrived")

    def fill(self, accounts: Accounts, each: int, octets: int = 4096) -> None:
        """Give each of these accounts so many messages."""
        wanted = each * accounts.count
        if self.count(accounts) == wanted:
            return
        self.take_all(accounts)
        result = self.load(
            "smtp", "smtp", n=wanted, conc=10, per_conn=100, size=octets, timeout=120, **accounts.options()
        )
        self.check(result)
        self.wait_for(accounts, wanted)

    def wait_for(self, accounts: Accounts, wanted: int) -> int:
        """Wait until these accounts have so many messages, and return how many they have."""
        self.settle()
        until = time.monotonic() + _DELIVERY_PATIENCE
        while (found := self.count(accounts)) < wanted and time.monotonic() < until:
            time.sleep(0.5)
        if found != wanted:
            self.flaw(f"{wanted} messages were accepted, {found} have arrived")
        return found

    def settle(self, patience: float = 60.0) -> float:
        """Wait until the server is idle. Returns when it became so (time.monotonic)."""
        until = time.monotonic() + patience
        before, idle_since, quiet = self.server.cpu(), time.monotonic(), 0
        while quiet < _QUIET_LOOKS and time.monotonic() < until:
            time.sleep(_LOOK)
            now = self.server.cpu()
            # A tick of CPU time is 10 ms; maintenance takes one now and then.
            if now - before > _LOOK / 5:
                idle_since, quiet = time.monotonic(), 0
            else:
                quiet += 1
            before = now
        return idle_since

    @contextmanager
    def cost(self) -> Iterator[Cost]:
        """Measure what the server uses until it is idle again."""
        self.settle(10.0)
        cost, stopping = Cost(), threading.Event()

        def sample() -> None:
            while not stopping.wait(_SAMPLE):
                cost.peak_mib = max(cost.peak_mib, self.server.memory())

        thread = threading.Thread(target=sample)
        began, before = time.monotonic(), self.server.cpu()
        thread.start()
        try:
            yield cost
            cost.seconds = self.settle() - began
            cost.cpu_s = self.server.cpu() - before
        finally:
            stopping.set()
            thread.join()
            cost.peak_mib = max(cost.peak_mib, self.server.memory())

    @contextmanager
    def idle(self, number: int, log_in: bool) -> Iterator[int]:
        """Keep POP3 connections open. Returns how many there are."""
        options = {"n": number, "conc": 100, "un": number if log_in else 1, "login": log_in, "timeout": 60}
        command = self.generator.command("idle", self.server.ports["pop3"], self._options("none", options))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ready = result_of(process.stdout.readline())
            if ready["failed"]:
                self.flaw(f"{ready['failed']} of {number} connections failed")
            yield int(ready["open"])
            process.communicate("")


def figures(result: Result, cost: Cost, units: int) -> Result:
    """Return what each run tells."""
    seconds = result["wall_s"]
    return {
        **{name: result[name] for name in LATENCIES},
        "units": units,
        "seconds": seconds,
        "cpu_s": cost.cpu_s,
        "cpu_ms_each": 1000 * cost.cpu_s / units if units else None,
        "peak_mib": cost.peak_mib,
        # Near 1, the generator is the limit and not the server.
        "client_busy": result["client_cpu_s"] / seconds if seconds else 0.0,
    }
