"""Clients that send and log in once in a while during an attack, and measure how they are served."""

from __future__ import annotations

import contextlib
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.node import Node, Size, address
from benchmarks.crash.texts import make_text


class Others:
    """A sender and a reader that expect to be served during an attack.

    @param every: seconds between two tries.
    """

    def __init__(self, node: Node, every: float = 0.5) -> None:
        self.node = node
        self.every = every
        self.sends: list[float] = []
        self.logins: list[float] = []
        self.failures: Counter[str] = Counter()
        self.worst: Size = node.size()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._send, self._login, self._watch)]

    def __enter__(self) -> Others:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _again(self, act: Callable[[], None], into: list[float]) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                act()
                into.append(time.monotonic() - began)
            except (Gone, Refused) as why:
                self.failures[str(why)[:70]] += 1
            self._stopping.wait(self.every)

    def _send(self) -> None:
        text = make_text("other", 1000, random.Random(1))

        def act() -> None:
            with Smtp(self.node, timeout=50) as smtp:
                reply = smtp.send("x@elsewhere.test", [address("other")], text)
                if not reply.startswith(b"250"):
                    raise Refused(reply.decode())

        self._again(act, self.sends)

    def _login(self) -> None:
        def act() -> None:
            with Pop3(self.node, timeout=50) as pop3:
                pop3.login(address("other"))
                pop3.demand("STAT")
                pop3.demand("QUIT")

        self._again(act, self.logins)

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            with contextlib.suppress(OSError, KeyError):
                now = self.node.size()
                self.worst = Size(
                    max(now.resident, self.worst.resident),
                    max(now.peak, self.worst.peak),
                    max(now.descriptors, self.worst.descriptors),
                    max(now.threads, self.worst.threads),
                    now.cpu,
                )

    def __str__(self) -> str:
        def shown(times: Sequence[float]) -> str:
            return (
                f"{statistics.median(times) * 1000:.0f}/{max(times) * 1000:.0f} ms of {len(times)}" if times else "none"
            )

        failures = dict(self.failures.most_common(3))
        return f"others: message {shown(self.sends)}, login {shown(self.logins)}, failures {failures}"
