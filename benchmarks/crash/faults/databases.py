"""A PostgreSQL server whose answer to a COMMIT is lost on its way."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from benchmarks.crash.clients import Gone, Refused, Smtp
from benchmarks.crash.faults.case import Case
from benchmarks.crash.load import look
from benchmarks.crash.node import HOST, address
from benchmarks.crash.postgres import Server
from benchmarks.crash.texts import make_text

_READ_OCTETS: Final = 65536
_COMMIT: Final = b"COMMIT"


class CommitCutter:
    """Stands between a daemon and its server, and ends a connection after its COMMIT: the answer never arrives.

    @param server: the port of the server.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        #: What a connection must have said for its COMMIT to be cut; once. Empty: none is cut.
        self.mark = b""
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((HOST, self._server))
            cut = threading.Event()
            for work in (self._from_client, self._from_server):
                threading.Thread(target=work, args=(client, server, cut), daemon=True).start()

    def _from_client(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        said = b""

        def forward(octets: bytes) -> None:
            nonlocal said
            said += octets
            if self.mark and self.mark in said and _COMMIT in octets:
                self.mark = b""
                self.cuts += 1
                cut.set()
            elif _COMMIT in octets:
                said = b""
            server.sendall(octets)

        _pump(client, forward)
        if not cut.is_set():
            _end(server)

    def _from_server(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        def forward(octets: bytes) -> None:
            if cut.is_set():
                raise ConnectionError("the answer to COMMIT is lost")
            client.sendall(octets)

        _pump(server, forward)
        for one in (client, server):
            _end(one)


def _pump(source: socket.socket, forward: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(_READ_OCTETS):
            forward(octets)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def lost_commit(case: Case) -> None:
    """PostgreSQL's answer to a COMMIT is lost: 250 only if a look-up proves that the message is on disk."""
    # PostgreSQL runs as a user of its own.
    case.folder.chmod(0o755)
    for synced in (True, False):
        setting = "on" if synced else "off"
        [port] = case.ports.take()
        server = Server(case.folder / f"postgresql-{setting}", port, ("-c", f"fsync={setting}"))
        cutter = CommitCutter(server.port)
        shutil.rmtree(case.folder / "node", ignore_errors=True)
        url = server.url().replace(f":{server.port}/", f":{cutter.port}/")
        case.start({"store": {"url": url}, "outbound": {"enabled": False}})
        # Once without a cut: sessions and statements are prepared.
        case.tell("before:", case.probe())
        ident = f"lost-{case.seed}-{setting}"
        cutter.mark = ident.encode()
        began = time.monotonic()
        try:
            with Smtp(case.node, timeout=60) as smtp:
                text = make_text(ident, 500, case.chance)
                reply = smtp.send("x@elsewhere.test", [address("u0")], text).decode()
        except (Gone, Refused) as why:
            reply = str(why)
        case.tell(f"fsync {setting}: {cutter.cuts} cut, {reply!r} after {time.monotonic() - began:.1f} s")
        if not cutter.cuts:
            case.flaw("no COMMIT was cut: this fault has tried nothing")
        if not synced and reply.startswith("250"):
            case.flaw("250 was said after a look-up on a server that syncs nothing")
        if reply.startswith("5"):
            case.flaw(f"a commit in doubt is refused for good: {reply}")
        found, _ = look(case.node, case.ledger, ["u0"], lambda _: True)
        if synced and found.counts["u0"][ident] != 1:
            case.flaw(f"the message was committed, and is there {found.counts['u0'][ident]} times")
        case.tell("afterwards:", case.probe())
        case.node.kill()
        cutter.close()
        server.kill()
