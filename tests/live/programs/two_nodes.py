"""Two real daemons on one PostgreSQL store, and a host that takes their mail, late where a test says so."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import create_engine, make_url

from tests.contract.engines import postgresql_url
from tests.live.programs.daemon import PATIENCE, Daemon, User
from tests.live.programs.wire import Wire, plain, smtp

_NUMBER = re.compile(rb"^Subject: ([0-9]+)\r$", re.MULTILINE)
_schemas = 0


def fresh_store() -> str:
    """The URL of an empty schema on a server of this process."""
    global _schemas
    _schemas += 1
    server, name = postgresql_url(), f"nodes_{_schemas}"
    with create_engine(make_url(server), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    return make_url(server).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)


class Host:
    """Takes mail at a port of its own. What it has read to the final dot is in `read`, by number; it says 250 to that
    only while `answers` is set."""

    def __init__(self) -> None:
        self.read: Counter[int] = Counter()
        self.answers = threading.Event()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def total(self) -> int:
        """How many messages it has read, doubles counted."""
        with self._lock:
            return self.read.total()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rwb", buffering=0) as wire:
                wire.write(b"220 host ESMTP\r\n")
                while verb := wire.readline().split(b" ")[0].strip().upper():
                    if verb != b"DATA":
                        wire.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                        continue
                    wire.write(b"354 go\r\n")
                    self._take(wire.readline, wire.write)
        except OSError:
            pass

    def _take(self, readline: object, write: object) -> None:
        assert callable(readline)
        assert callable(write)
        message = b""
        while (line := readline()) != b".\r\n":
            if not line:
                return
            message += line
        found = _NUMBER.search(message)
        assert found is not None
        with self._lock:
            self.read[int(found[1])] += 1
        if self.answers.wait(PATIENCE):
            write(b"250 taken\r\n")

    def close(self) -> None:
        """Accept no more."""
        self._listening.close()


def node(store: str, host: Host, lease: int, environment: Mapping[str, str] | None = None, limits: str = "") -> Daemon:
    """A daemon on the store, which sends all mail to the host and looks into the queue each second.

    A session that is silent for a second may lose its maildrop.

    @param limits: the table `[limits]`.
    """
    return Daemon(
        f'[store]\nurl = "{store}"\n[queue]\nlease = {lease}\npoll = 1\nmax_leased = 20\nmax_per_next_hop = 4\n'
        "[pop3]\ntakeover_after = 1\n"
        f"[limits]\n{limits}"
        f'[[routing.routes]]\nhost = "[127.0.0.1]"\nport = {host.port}\ntls = "none"\n',
        environment=environment,
    )


def clock_ahead(seconds: int, folder: Path) -> dict[str, str]:
    """The environment of a process whose wall clock is ahead of that of the tests, as by `.ci/at`.

    @param folder: where the library lies that this needs.
    """
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    faketime = next(Path("/usr/lib").rglob("libfaketime.so.1"))
    shim = folder / "real_sleep.so"
    source = Path(__file__).resolve().parents[3] / ".ci" / "real_sleep.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=True)
    offset = int(os.environ.get("FAKETIME", "0")) + seconds
    settings = {"FAKETIME": f"{offset:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    return {**settings, "LD_PRELOAD": f"{shim}:{faketime}"}


def cut_lock_connections(store: str) -> int:
    """End the connections by which nodes hold their numbers, as a cut network does. Returns how many there were."""
    with create_engine(make_url(store), isolation_level="AUTOCOMMIT").connect() as connection:
        ended = connection.exec_driver_sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1"
            " AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).scalar()
    return int(ended or 0)


def knows(daemon: Daemon, user: User) -> bool:
    """Whether the user can log in there. A node notices within a second what was added on another."""
    with Wire(daemon, "submission") as wire:
        is_open = wire.reply().startswith(b"220 ") and wire.code(b"EHLO client.example.org") == 250
        return is_open and wire.code(b"AUTH PLAIN " + plain(user)) == 235


def submit(daemon: Daemon, user: User, numbers: range) -> None:
    """A message for each number, which is its subject."""
    with smtp(daemon, "submission") as wire:
        assert wire.code(b"AUTH PLAIN " + plain(user)) == 235
        for number in numbers:
            wire.say(b"MAIL FROM:<%b>\r\nRCPT TO:<bob@away.test>\r\nDATA\r\n" % user.address.encode())
            assert [wire.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
            assert wire.code(b"From: %b\r\nSubject: %d\r\n\r\nhello\r\n." % (user.address.encode(), number)) == 250
