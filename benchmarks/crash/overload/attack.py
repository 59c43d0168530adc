"""A daemon under attack, and the connections of the attackers."""

from __future__ import annotations

import argparse
import contextlib
import errno
import random
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import process
from benchmarks.crash.clients import Smtp
from benchmarks.crash.node import HOST, Node, Ports, address, merged
from benchmarks.crash.overload.others import Others
from benchmarks.crash.texts import make_text


class Attack:
    """A daemon, and the connections of those that overload it."""

    def __init__(self, name: str, chosen: argparse.Namespace, folder: Path) -> None:
        self.name = name
        self.chosen = chosen
        self.folder = folder
        self.ports = Ports(chosen.base_port)
        self.chance = random.Random(chosen.seed)
        self.node: Node
        self.sockets: list[socket.socket] = []

    def tell(self, *words: object) -> None:
        """Print a line of the report."""
        print(f"{self.name}:", *words, flush=True)

    def start(
        self,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        lists: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> Node:
        """Start the daemon."""
        base: dict[str, dict[str, Any]] = {"outbound": {"enabled": False}}
        self.node = Node(self.folder / "node", self.ports, merged(base, settings or {}), lists)
        self.node.start()
        self.node.add_users(["other", "victim", "u0", "u1"])
        with Smtp(self.node) as smtp:
            smtp.send("x@elsewhere.test", [address("other")], make_text("first", 500, self.chance))
        return self.node

    @contextlib.contextmanager
    def others(self) -> Iterator[Others]:
        """Print at the end how others were served."""
        before = self.node.size()
        process.forget_peak(self.node.pid)
        with Others(self.node) as others:
            yield others
        self.tell(others)
        after = self.node.size() if self.node.alive else None
        self.tell(f"before {before}")
        self.tell(f"worst  {others.worst}")
        self.tell(f"after  {after or self.node.log_tail(5)}")

    def connect(self, service: str, count: int, first: bytes = b"", source: int = 0) -> Counter[str]:
        """Open connections from many addresses of this machine, and keep them; the number of each result.

        @param first: sent on each connection.
        @param source: tells the addresses of one call from those of another.
        """
        heard: Counter[str] = Counter()
        for number in range(count):
            try:
                # One address has too few ports.
                where = (f"127.{10 + source}.{number // 200 % 200}.{1 + number % 200}", 0)
                one = socket.create_connection((HOST, self.node.ports[service]), 10, source_address=where)
                if first:
                    one.sendall(first)
                one.setblocking(False)
                self.sockets.append(one)
                heard["connected"] += 1
            except OSError as error:
                heard[errno.errorcode.get(error.errno or 0, str(error))] += 1
        return heard

    def hear(self, seconds: float, drop: bool = True) -> Counter[str]:
        """Read from the open connections for some seconds; the number of each first line, and of ends."""
        heard: Counter[str] = Counter()
        selector = selectors.DefaultSelector()
        for one in self.sockets:
            selector.register(one, selectors.EVENT_READ)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and selector.get_map():
            for key, _ in selector.select(min(left, 0.5)):
                assert isinstance(key.fileobj, socket.socket)
                one = key.fileobj
                try:
                    octets = one.recv(4096)
                except OSError as error:
                    heard[f"end: {error.strerror}"] += 1
                    octets = b""
                else:
                    heard[octets.split(b"\r\n")[0][:45].decode("ascii", "replace") if octets else "end"] += 1
                if not octets and drop:
                    selector.unregister(one)
        selector.close()
        return heard

    def hang_up(self) -> None:
        """Close all connections."""
        for one in self.sockets:
            one.close()
        self.sockets = []

    def close(self) -> None:
        """Kill everything."""
        self.hang_up()
        with contextlib.suppress(AttributeError):
            self.node.kill()


def few(heard: Counter[str]) -> dict[str, int]:
    """The most frequent results."""
    return dict(heard.most_common(5))
