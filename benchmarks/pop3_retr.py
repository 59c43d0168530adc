"""How many messages a second POP3 clients fetch, and how long a listing of 100,000 takes."""

from __future__ import annotations

import argparse
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import flow, process

PASSWORD = "bench"


class Session:
    """A logged-in client that asks for messages in turn, some of them at a time, and counts those that came whole."""

    def __init__(self, port: int, name: str, password: str, depth: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 60.0)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.sock.makefile("rb")
        self._line()
        self.ask(f"USER {name}")
        self.ask(f"PASS {password}")
        self.messages = int(self.ask("STAT").split()[1])
        self.fetched = 0
        self._depth = depth
        self._waited_for = 0
        self._asked = 0
        self._tail = b""

    def _line(self) -> bytes:
        line = self._file.readline()
        assert line.startswith(b"+OK"), line
        return line

    def ask(self, command: str) -> bytes:
        """One command, one line."""
        self.sock.sendall(command.encode() + b"\r\n")
        return self._line()

    def listing(self, command: str) -> tuple[int, float]:
        """How many lines a listing has, and the seconds it takes."""
        began = time.perf_counter()
        self.ask(command)
        lines = 0
        while self._file.readline() != b".\r\n":
            lines += 1
        return lines, time.perf_counter() - began

    def go(self) -> None:
        """Ask for the next messages."""
        commands = []
        for _ in range(self._depth):
            commands.append(b"RETR %d\r\n" % (self._asked % self.messages + 1))
            self._asked += 1
        self._waited_for = self._depth
        self.sock.sendall(b"".join(commands))

    def take(self) -> bool:
        """Count the ends in what has come; True when all that was asked for is there."""
        octets = self.sock.recv(262144)
        assert octets, "the server closed the connection"
        ends = (self._tail + octets).count(b"\r\n.\r\n")
        self._tail = octets[-4:] if len(octets) > 3 else (self._tail + octets)[-4:]
        self.fetched += ends
        self._waited_for -= ends
        return not self._waited_for

    def leave(self) -> None:
        """Take what is still to come, then QUIT, and wait for the end: the maildrop is free then."""
        while self._waited_for and not self.take():
            pass
        self.sock.sendall(b"QUIT\r\n")
        while self.sock.recv(65536):
            pass
        self.sock.close()


def fetch(sessions: Sequence[Session], seconds: float) -> tuple[int, float]:
    """Let all of them fetch for that long; messages, and the seconds it really took."""
    selector = selectors.DefaultSelector()
    for session in sessions:
        selector.register(session.sock, selectors.EVENT_READ, session)
        session.go()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1.0):
            if key.data.take():
                key.data.go()
    return sum(session.fetched for session in sessions), time.perf_counter() - began


def serve(names: Sequence[str], messages: int, octets: int) -> None:
    """The server alone, over the store in memory: what the protocol costs."""
    from twisted.internet import reactor as global_reactor

    from tests.fakes.net.pop3_house import POP3House

    reactor: Any = global_reactor
    house = POP3House(clock=reactor)
    body = flow_body(octets)
    for name in names:
        account = house.store.seed_account(name)
        house.logins.passwords[name.encode()] = (PASSWORD.encode(), account.account_id)
        for _ in range(messages):
            house.store.put(account, body)
    port = reactor.listenTCP(0, house.factory, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


def flow_body(octets: int) -> bytes:
    """A message of that size, with CRLF lines."""
    header = b"From: alice@example.test\r\nSubject: bench\r\n\r\n"
    line = b"x" * 70 + b"\r\n"
    text = header + line * ((octets - len(header)) // len(line))
    return text + b"y" * (octets - len(text) - 2) + b"\r\n"


def measure(pid: int, port: int, users: Sequence[tuple[str, str]], given: argparse.Namespace) -> None:
    """Fetch one by one, then pipelined; print."""
    for depth in (1, 10):
        sessions = [Session(port, name, password, depth) for name, password in users]
        spent = process.cpu_seconds(pid)
        fetched, seconds = fetch(sessions, given.seconds)
        spent = process.cpu_seconds(pid) - spent
        print(
            f"RETR of {given.octets} octets, {len(users)} connections, {depth} at a time: {fetched / seconds:,.0f}/s, "
            f"server CPU {1e6 * spent / fetched:.0f} µs each, {process.resident(pid):.0f} MiB in memory"
        )
        for session in sessions:
            session.leave()


def measure_listing(port: int, name: str, password: str) -> None:
    """LIST and UIDL of a big maildrop; print."""
    began = time.perf_counter()
    session = Session(port, name, password, 1)
    print(f"login to {session.messages:,} messages: {1000 * (time.perf_counter() - began):.0f} ms")
    for command in ("LIST", "UIDL"):
        lines, seconds = session.listing(command)
        print(f"{command} of {lines:,} messages: {1000 * seconds:.0f} ms")


def over_memory(given: argparse.Namespace) -> None:
    """Against the server alone."""

    def start(count: int, messages: int, octets: int) -> tuple[subprocess.Popen[str], int, list[tuple[str, str]]]:
        names = [f"user{n}@example.test" for n in range(count)]
        command = [sys.executable, "-m", "benchmarks.pop3_retr", "--serve", *names]
        command += ["--messages", str(messages), "--octets", str(octets)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        return server, int(server.stdout.readline()), [(name, PASSWORD) for name in names]

    server, port, users = start(given.connections, given.messages, given.octets)
    try:
        measure(server.pid, port, users, given)
    finally:
        server.kill()
    server, port, users = start(1, 100_000, 100)
    try:
        measure_listing(port, *users[0])
    finally:
        server.kill()


def over_daemon(given: argparse.Namespace) -> None:
    """Against a real daemon with its default store; the messages come in by SMTP."""
    from tests.live.programs.daemon import Daemon

    daemon = Daemon()
    try:
        users = [(user.address, user.password) for user in daemon.users(given.connections)]
        wanted = given.messages * len(users)
        flow.flow(
            daemon.ports["smtp"],
            [name for name, _ in users],
            given.octets,
            min(50, wanted),
            lambda seen, seconds: len(seen.latencies) < wanted,
        )
        measure(daemon.pid, daemon.ports["pop3"], users, given)
    finally:
        daemon.close()


def main() -> None:
    """Start what is to be measured in a process of its own, be its clients, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--memory", action="store_true", help="the protocol alone, over a store in memory")
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--messages", type=int, default=100, help="in each maildrop")
    options.add_argument("--octets", type=int, default=4096, help="of a message")
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve(given.serve, given.messages, given.octets)
    elif given.memory:
        over_memory(given)
    else:
        over_daemon(given)


if __name__ == "__main__":
    main()
