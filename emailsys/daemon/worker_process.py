"""One worker as the daemon sees it: its process, the channel to it, and the connections that it has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from emailsys.daemon.worker_channel import Channel, ChannelFactory, Handler
from emailsys.daemon.worker_sharing import POOLS
from emailsys.platforms.descriptors import pass_connection, passing_pair, stream_pair
from emailsys.store.commit.database import Activity
from emailsys.telemetry import Telemetry

_PROGRAM: Final = "emailsys.daemon.worker"
# Octets of the end of what a worker printed before it ended. Its last line says why.
_PRINTED: Final = 4096


class WorkerProcess:
    """A running worker.

    @param handlers: for its messages, see `Channel`.
    @param ended: called with this object and the reason when the process has ended. Its connections have ended, too.
    @raise OSError: the process cannot be started.
    """

    def __init__(
        self,
        reactor: Any,
        telemetry: Telemetry,
        handlers: Callable[[WorkerProcess], Mapping[str, Handler]],
        ended: Callable[[WorkerProcess, str], None],
    ) -> None:
        self._ended = ended
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        own_channel, its_channel = stream_pair()
        own_connections, its_connections = passing_pair()
        try:
            passed = [its_channel.fileno(), its_connections.fileno()]
            # The modules are looked for where this process has found its own, and not in the working directory.
            path = os.pathsep.join(folder for folder in sys.path if folder)
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", _PROGRAM, *map(str, passed)],
                env={**os.environ, "PYTHONPATH": path},
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stderr=self._printed,
            )
        except OSError:
            own_channel.close()
            own_connections.close()
            self._printed.close()
            raise
        finally:
            its_channel.close()
            its_connections.close()
        own_connections.setblocking(False)
        own_channel.setblocking(False)
        self._connections = own_connections
        #: Why the daemon has killed it.
        self.why_killed: str | None = None
        #: Whether it takes connections.
        self.is_serving = False
        #: When it began to, on the reactor's clock.
        self.serves_since = 0.0
        #: Connections that it has, by pool and by the address of the client.
        self.clients: Counter[tuple[str, str]] = Counter()
        #: How many these are, by pool.
        self.pools: Counter[str] = Counter()
        #: What it has said in answer to the last ping, and how many pings it has not answered.
        self.told: Mapping[str, Any] = {}
        self.unanswered = 0
        self.channel = Channel(handlers(self), self._lost, telemetry)
        with own_channel:
            reactor.adoptStreamConnection(own_channel.fileno(), own_channel.family, ChannelFactory(self.channel))

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def connections(self) -> int:
        """How many connections it has."""
        return self.pools.total()

    def give(self, service: str, ip: str, connection: socket.socket) -> None:
        """Pass a connection on.

        @raise OSError: it takes no more at this moment.
        """
        pass_connection(self._connections, f"{service} {ip}".encode(), connection)
        self.clients[POOLS[service], ip] += 1
        self.pools[POOLS[service]] += 1

    def has_lost(self, pool: str, ip: str) -> bool:
        """Count the end of a connection. Returns whether there was one."""
        client = pool, ip
        if not self.clients[client]:
            return False
        self.clients[client] -= 1
        self.pools[pool] -= 1
        if not self.clients[client]:
            del self.clients[client]
        return True

    def ping(self) -> None:
        """Ask for a sign of life. `unanswered` counts the calls since the last one."""
        self.unanswered += 1
        if self.unanswered == 1:
            _ = self.channel.ask("ping").addCallbacks(self._answered, lambda _: None)

    def _answered(self, told: Mapping[str, Any]) -> None:
        self.told, self.unanswered = told, 0

    @property
    def activity(self) -> Activity:
        """Its commits, as of the last ping that it has answered."""
        return Activity(*self.told.get("activity", ()))

    def no_more(self) -> None:
        """Say that no more connections come."""
        self.is_serving = False
        self._connections.close()

    def kill(self, why: str) -> None:
        """End it at once. Its clients lose their connections; nothing that they were told of is lost."""
        self.why_killed = self.why_killed or why
        self._process.kill()

    def _lost(self) -> None:
        """The process has ended, or closes its end of the channel and ends."""
        self.no_more()
        waiting: Deferred[str] = deferToThread(self._wait)
        _ = waiting.addCallback(lambda why: self._ended(self, why))

    def _wait(self) -> str:
        """Wait until the process has ended, kill it if it does not, and return why."""
        try:
            status = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        with self._printed as printed:
            printed.seek(max(0, printed.seek(0, os.SEEK_END) - _PRINTED))
            lines = printed.read().decode("utf-8", "replace").split("\n")
        how = f"signal {-status} ended it" if status < 0 else f"it ended with status {status}"
        return self.why_killed or "; ".join([how, *_last(lines)])


def _last(lines: Sequence[str]) -> list[str]:
    """Return the last line that is not empty, if there is one."""
    return [line.strip() for line in lines if line.strip()][-1:]
