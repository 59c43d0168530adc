"""A daemon to break: settings from tables, ports that stay, and what its queue, its verify and its process say."""

from __future__ import annotations

import argparse
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from benchmarks import process
from emailsys.control.requests import QueueList, UserMaySendAs
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from tests.live.programs.daemon import BIN, DOMAIN, SERVICES, Daemon, Failed
from tests.ports import free_ports

HOST: Final = "127.0.0.1"
PASSWORD: Final = "correct-horse-battery"
# Rows that one request to the control socket returns.
QUEUE_ROWS: Final = 10_000
# Seconds that `emailsys verify` may take.
VERIFY_PATIENCE: Final = 1800.0

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Size:
    """What a process holds: MiB resident now and at most, descriptors, threads, seconds of CPU."""

    resident: float
    peak: float
    descriptors: int
    threads: int
    cpu: float

    def __str__(self) -> str:
        return (
            f"RSS {self.resident:.1f} MiB, peak {self.peak:.1f} MiB, "
            f"{self.descriptors} descriptors, {self.threads} threads, {self.cpu:.2f} s CPU"
        )


def toml(tables: Tables, lists: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> str:
    """Write tables, and lists of tables, as TOML. Values are text, numbers, booleans and lists of them."""
    lines = []
    for name, table in [(f"[{name}]", table) for name, table in tables.items()] + [
        (f"[[{name}]]", table) for name, table in lists
    ]:
        lines.append(name)
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def merged(*tables: Tables) -> dict[str, dict[str, Any]]:
    """Merge tables; a later value replaces an earlier one."""
    result: dict[str, dict[str, Any]] = {}
    for some in tables:
        for name, table in some.items():
            result.setdefault(name, {}).update(table)
    return result


def hasty(store: str | None = None) -> dict[str, dict[str, Any]]:
    """The settings of a daemon that retries and polls without delay.

    @param store: the URL of its store, where that is not SQLite.
    """
    result: dict[str, dict[str, Any]] = {
        "queue": {"poll": "1s", "first_retry": "1s", "max_retry": "2s", "first_pause": "1s", "max_pause": "1s"},
        "routing": {"srs": False},
    }
    if store is not None:
        result["store"] = {"url": store}
    return result


def address(account: str) -> str:
    """The address of an account."""
    return f"{account}@{DOMAIN}"


class Ports:
    """Ports for daemons and sinks.

    @param base: the first of a block that nothing else uses; None for any that are free.
    """

    def __init__(self, base: int | None = None) -> None:
        self.fixed = base is not None
        self._next = base

    def take(self, count: int = 1) -> list[int]:
        """That many ports, given to no one else."""
        if self._next is None:
            return free_ports(count)
        first, self._next = self._next, self._next + count
        return list(range(first, first + count))

    @staticmethod
    def option(parser: argparse.ArgumentParser) -> None:
        """Add `--base-port` to a command, and let SIGTERM end it with all that it has started."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        parser.add_argument("--base-port", type=int, help="the first of a block of ports; by default any that are free")


class Node(Daemon):
    """A daemon on ports of its own, not started yet.

    @param folder: where configuration, log and, unless `state` says otherwise, the state folder lie.
    @param tables: settings, beside `listen` and logins without TLS.
    @param lists: lists of tables, such as ("routing.routes", {...}).
    """

    patience = 180.0

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        tables: Tables | None = None,
        lists: Sequence[tuple[str, Mapping[str, Any]]] = (),
        *,
        state: Path | None = None,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        limits: Mapping[int, int] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(wrapper=wrapper, folder=folder, state=state, environment=environment)
        self.limits = dict(limits or {})
        self._block = ports
        self._settings: tuple[Tables, Sequence[tuple[str, Mapping[str, Any]]]] = ({}, ())
        self.ports = dict(zip(SERVICES, ports.take(len(SERVICES)), strict=True))
        # If the harness ends early, its daemon ends with it.
        atexit.register(self.kill)
        self.configure(tables or {}, lists)

    def configure(self, tables: Tables, lists: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        """Write its configuration, which holds from the next start."""
        self._settings = (tables, lists)
        clear = {"plaintext_auth_on_loopback": True}
        listen = {name: [f"{HOST}:{port}"] for name, port in self.ports.items()}
        whole = merged({"listen": listen, "smtp": clear, "pop3": clear}, tables)
        self.config_path.write_text('hostname = "localhost"\n' + toml(whole, lists))

    @override
    def write_config(self) -> None:
        # A connection of another program holds one of the ports. In a block of our own it ends after a moment.
        time.sleep(1.0)
        if not self._block.fixed:
            self.ports = dict(zip(SERVICES, self._block.take(len(SERVICES)), strict=True))
            self.configure(*self._settings)

    def launch(self, program: Sequence[str] | None = None) -> None:
        super().launch(program or [str(BIN / "emailsys"), "serve"])

    def _is_ready(self) -> bool:
        try:
            self.greeting()
        except Failed:
            return False
        return True

    def greeting(self, service: str = "smtp") -> bytes:
        """Wait for the first octets of a service.

        @raise Failed: the daemon has ended, or says nothing.
        """
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            if not self.alive:
                raise Failed(f"the daemon ended with {self.wait()}:\n{self.log_tail()}")
            try:
                with socket.create_connection((HOST, self.ports[service]), timeout=self.patience) as connection:
                    octets = connection.recv(512)
                    if octets:
                        return octets
            except OSError:
                pass
            time.sleep(0.01)
        raise Failed(f"no greeting within {self.patience:g} s:\n{self.log_tail()}")

    def drain(self) -> float:
        """Stop it as an operator does; the seconds it took.

        @raise Failed: SIGTERM did not end it.
        """
        began = time.monotonic()
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            raise Failed(f"SIGTERM did not end it within {self.patience:g} s:\n{self.log_tail()}") from None
        return time.monotonic() - began

    def close(self) -> None:
        """Kill it. Its folder belongs to the harness."""
        self.kill()

    # What it says

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.splitlines()[-lines:]) if self.log_path.exists() else ""

    def log_count(self, word: str) -> int:
        """The number of lines of its log that have a word."""
        return sum(word in line for line in self.log.splitlines())

    def add_users(self, names: Sequence[str]) -> None:
        """Add accounts with PASSWORD, and the domain before the first of them."""
        credentials = make_credentials(PASSWORD)
        for name in names:
            self._add(name, PASSWORD, credentials)
            # The messages of `texts` have one author.
            self.command(UserMaySendAs(Address(name, DOMAIN), (Address("a", DOMAIN),)))

    def queued(self) -> list[dict[str, Any]]:
        """All rows of its queue."""
        rows: list[dict[str, Any]] = []
        after = 0
        while True:
            some = self.command(QueueList(limit=QUEUE_ROWS, after=after))
            rows += some
            if len(some) < QUEUE_ROWS:
                return rows
            after = some[-1]["row"]

    def program(self, *words: str) -> list[str]:
        """A command of the console program for this daemon."""
        return [str(BIN / "emailsys"), *words, "--config", str(self.config_path), "--state", str(self.state)]

    def verify(self) -> list[str]:
        """The flaws that `emailsys verify` finds. It runs beside the daemon, or alone if no daemon runs."""
        done = subprocess.run(
            self.program("verify", "--json"),
            capture_output=True,
            text=True,
            check=False,
            timeout=VERIFY_PATIENCE,
        )
        try:
            return [f"{flaw['queue_id']}: {flaw['what']}" for flaw in json.loads(done.stdout)["flaws"]]
        except (ValueError, KeyError):
            return [f"verify ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"]

    # What it holds

    def size(self) -> Size:
        """What it holds now."""
        proc = Path(f"/proc/{self.worker}")
        return Size(
            resident=process.resident(self.worker),
            peak=process.peak(self.worker),
            descriptors=len(os.listdir(proc / "fd")),
            threads=len(os.listdir(proc / "task")),
            cpu=process.cpu_seconds(self.worker),
        )


def until(condition: Callable[[], bool], patience: float, every: float = 0.1) -> bool:
    """Wait for a condition; returns whether it came true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return condition()
