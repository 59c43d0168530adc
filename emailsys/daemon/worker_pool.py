"""The worker processes of the daemon: started, watched, given connections, started again, and ended (decision 0034)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from emailsys import __version__
from emailsys.config.settings import Settings
from emailsys.daemon.worker_channel import ChannelLost, Handler
from emailsys.daemon.worker_connections import Acceptor
from emailsys.daemon.worker_process import WorkerProcess
from emailsys.daemon.worker_requests import Requests, SharedParts
from emailsys.daemon.worker_sharing import POOLS, packed
from emailsys.interfaces import StoreError
from emailsys.net.serving.admission import Admission, ConnectionLimit
from emailsys.net.serving.eviction import LOOK_EVERY
from emailsys.net.tls.server import ServerTLS
from emailsys.store.commit.database import Activity, added
from emailsys.supervisor import Bound

# Seconds that a worker gets to serve: it imports everything and opens the store.
_START_SECONDS: Final = 90.0
# Seconds between two signs of life, and how many may be missing. A worker that is stuck may hold the commit lock.
_PING_EVERY: Final = 5.0
_MAX_UNANSWERED: Final = 6
# Seconds until a worker that has ended is started again: at first, and at most. A worker that has served for a minute
# begins again with the first.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
_SETTLED_AFTER: Final = 60.0
# Seconds that workers get to end in order: as long as the daemon's own sessions, and some for their stores.
_END_SECONDS: Final = 20.0
_FINISH_SECONDS: Final = 40.0
# Connections that may wait for room in a full pool at a time.
_MAX_WAITING: Final = 50
# The services of workers that serve POP3 alone.
_POP3: Final = ("pop3", "pop3s")


class Workers:
    """The workers, and the connections that the daemon accepts for them.

    The daemon serves a connection itself if no worker takes it, if it must be refused, and while it records.

    @param is_recording: whether connections are recorded.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        parts: SharedParts,
        tls: ServerTLS,
        is_recording: Callable[[], bool],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._telemetry = parts.telemetry
        self._store = parts.store
        self._tls = tls
        self._verified = parts.verified
        self._is_recording = is_recording
        self._requests = Requests(reactor, parts, self._serving)
        #: The services whose connections workers serve.
        self.services = frozenset(POOLS if settings.workers else _POP3)
        self._most = settings.workers or settings.pop3.workers
        self._workers: list[WorkerProcess] = []
        # Those that end, and what fires when they have.
        self._ends: dict[WorkerProcess, Deferred[None]] = {}
        self._starting: dict[WorkerProcess, IDelayedCall] = {}
        self._again: set[IDelayedCall] = set()
        self._failures = 0
        self._problem: str | None = None
        self._is_stopping = False
        self._pinging = LoopingCall(self._ping)
        self._pinging.clock = reactor
        # The daemon's own factories by service, and the connections that it counts, by pool.
        self._factories: dict[str, IProtocolFactory] = {}
        self._admissions: dict[str, Admission] = {}
        self._waiting = 0
        self._next_look: dict[str, float] = {}
        # The commits of workers that have ended.
        self._past = Activity()
        self._store.database.engine.end_other_processes = self._end_for_proof
        self._store.database.elsewhere = lambda: added(self._past, *(worker.activity for worker in self._workers))

    def start(self) -> None:
        """Start the workers. Until they serve, the daemon does."""
        for _ in range(self._most):
            self._start_one()
        _ = self._pinging.start(_PING_EVERY, now=False)

    def listen(self, bound: Bound, factory: IProtocolFactory, admission: Admission) -> Acceptor:
        """Accept connections on a socket.

        @param factory: for those that the daemon serves. @param admission: counts them, and those of workers.
        """
        self._factories[bound.service] = factory
        self._admissions[POOLS[bound.service]] = admission
        acceptor = Acceptor(self._reactor, bound, self._accepted, self._telemetry)
        acceptor.start()
        return acceptor

    def configure(self, settings: Settings) -> None:
        """Use these settings for connections that begin from now on."""
        self._settings = settings
        for worker in self._serving():
            worker.channel.tell("configure", settings=packed(settings))

    def read_certificates(self) -> None:
        """Have the workers read the certificates that this process serves now."""
        for worker in self._serving():
            worker.channel.tell("certificates", certificates=packed(self._tls.certificates))

    def connections_of(self, service: str) -> int:
        """Return how many connections workers have in the pool of a service."""
        pool = POOLS.get(service)
        return sum(worker.pools[pool] for worker in self._workers) if pool is not None else 0

    @property
    def damaged(self) -> Collection[Mapping[str, str]]:
        """The damaged messages that workers have met, as in the status."""
        return [message for worker in self._workers for message in worker.told.get("damaged", ())]

    def status(self) -> Mapping[str, Any]:
        """Return what the command `status` shows."""
        now = self._reactor.seconds()
        return {
            "wanted": self._most,
            "services": sorted(self.services, key=list(POOLS).index),
            "serving": [
                {
                    "pid": worker.pid,
                    "connections": worker.connections,
                    "uptime": round(now - worker.serves_since, 1),
                }
                for worker in self._serving()
            ],
            "problem": self._problem,
        }

    # Processes

    def _serving(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.is_serving]

    def _start_one(self) -> None:
        try:
            worker = WorkerProcess(self._reactor, self._telemetry, self._handlers, self._ended)
        except OSError as error:
            self._start_later(f"it cannot be started: {error.strerror}")
            return
        self._workers.append(worker)
        late = f"it did not serve within {_START_SECONDS:.0f} seconds"
        self._starting[worker] = self._reactor.callLater(_START_SECONDS, worker.kill, late)
        begun = worker.channel.ask(
            "begin",
            version=__version__,
            settings=packed(self._settings),
            certificates=packed(self._tls.certificates),
            key=self._verified.key.hex(),
        )
        _ = begun.addCallback(partial(self._begun, worker))
        _ = begun.addErrback(partial(self._not_begun, worker))

    def _begun(self, worker: WorkerProcess, told: Mapping[str, str]) -> None:
        if "problem" in told:
            worker.kill(told["problem"])
            return
        # It does not know what has changed since it was started.
        worker.is_serving, worker.serves_since = True, self._reactor.seconds()
        worker.channel.tell("configure", settings=packed(self._settings))
        worker.channel.tell("certificates", certificates=packed(self._tls.certificates))
        self._cancel_deadline(worker)
        if len(self._serving()) == self._most:
            self._problem = None
        self._telemetry.event("worker-started", pid=worker.pid)

    def _not_begun(self, worker: WorkerProcess, failure: Failure) -> None:
        _ = failure.trap(ChannelLost)
        # If the process has ended, `_ended` is told why.
        if not worker.channel.is_lost:
            worker.kill(f"it cannot serve: {failure.getErrorMessage()}")

    def _cancel_deadline(self, worker: WorkerProcess) -> None:
        deadline = self._starting.pop(worker, None)
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _ended(self, worker: WorkerProcess, why: str) -> None:
        self._cancel_deadline(worker)
        self._workers.remove(worker)
        lost = worker.connections
        for pool, ip in worker.clients.elements():
            self._admissions[pool].leave(ip)
        self._past = added(self._past, worker.activity._replace(waiting_octets=0))
        self._requests.ended(worker)
        ending = self._ends.pop(worker, None)
        if ending is not None:
            ending.callback(None)
            return
        self._telemetry.event("worker-ended", pid=worker.pid, why=why, connections=lost)
        if worker.serves_since and self._reactor.seconds() - worker.serves_since >= _SETTLED_AFTER:
            self._failures = 0
        self._start_later(why)

    def _start_later(self, why: str) -> None:
        self._problem = why
        if self._is_stopping:
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._failures += 1

        def again() -> None:
            self._again.discard(call)
            self._start_one()

        call = self._reactor.callLater(pause, again)
        self._again.add(call)

    def _ping(self) -> None:
        for worker in self._serving():
            if worker.unanswered >= _MAX_UNANSWERED:
                worker.kill(f"it gave no sign of life for {_PING_EVERY * _MAX_UNANSWERED:.0f} seconds")
            else:
                worker.ping()

    async def stop(self, is_succeeded: bool) -> int:
        """End the workers in order. The daemon accepts no connections any more. Returns how many were interrupted.

        @param is_succeeded: whether another process serves, so that clients may finish what they have begun.
        """
        self._is_stopping = True
        if self._pinging.running:
            self._pinging.stop()
        for call in self._again:
            call.cancel()
        self._again.clear()
        ended = [Deferred.fromCoroutine(self._stop_one(worker, is_succeeded)) for worker in tuple(self._workers)]
        return sum(await gatherResults(ended))

    async def _stop_one(self, worker: WorkerProcess, is_succeeded: bool) -> int:
        end: Deferred[None] = Deferred()
        self._ends[worker] = end
        patience = _FINISH_SECONDS if is_succeeded else _END_SECONDS
        deadline = self._reactor.callLater(patience, worker.kill, "it did not end in time")
        left = 0
        if worker.is_serving:
            worker.no_more()
            try:
                left = await worker.channel.ask("stop", is_succeeded=is_succeeded)
            except ChannelLost:
                left = worker.connections
            worker.channel.abort()
        else:
            worker.kill("the daemon stops")
        await end
        if deadline.active():
            deadline.cancel()
        return left

    # Doubts of the store

    def _end_for_proof(self) -> bool:
        """Kill the workers: a failed checkpoint leaves nothing proven while they use the store (decision 0022).

        Called in a thread of the store. New workers cannot open the store before it has proven its log.
        """
        workers = tuple(self._workers)
        for worker in workers:
            worker.kill("after a checkpoint that failed, the store must be proven")
        return bool(workers)

    def _doubted(self) -> None:
        """Prove the log, because a checkpoint of a worker failed. This ends the workers."""
        database = self._store.database
        looked = database.upkeep("look for doubts", lambda _: database.engine.raise_if_in_doubt())
        proven = looked.addErrback(lambda _: database.run("prove the log", lambda _: None))
        # If the disk still fails, the next use of the store proves the log.
        _ = proven.addErrback(lambda failure: failure.trap(StoreError))

    # Connections

    def _accepted(self, service: str, connection: socket.socket, ip: str) -> None:
        """Pass a new connection on, or serve it here."""
        if not self._serving() or self._is_recording():
            self._serve_here(service, connection)
            return
        pool = POOLS[service]
        admission = self._admissions[pool]
        now = self._reactor.seconds()
        if admission.is_under_pressure and now >= self._next_look.get(pool, 0.0):
            self._next_look[pool] = now + LOOK_EVERY
            for worker in self._serving():
                worker.channel.tell("relieve", pool=pool, is_full=False)
        if admission.refusal(ip) is ConnectionLimit.TOTAL and self._waiting < _MAX_WAITING:
            self._waiting += 1
            relieved = [worker.channel.ask("relieve", pool=pool, is_full=True) for worker in self._serving()]
            _ = gatherResults(relieved, consumeErrors=True).addBoth(self._relieved, service, connection, ip)
        else:
            self._give(service, connection, ip)

    def _relieved(self, _: object, service: str, connection: socket.socket, ip: str) -> None:
        self._waiting -= 1
        self._give(service, connection, ip)

    def _give(self, service: str, connection: socket.socket, ip: str) -> None:
        admission, serving = self._admissions[POOLS[service]], self._serving()
        if not serving or admission.refusal(ip) is not None:
            self._serve_here(service, connection)
            return
        try:
            # One that is late with a sign of life gets connections only if all are.
            chosen = min(serving, key=lambda worker: (worker.unanswered > 1, worker.connections))
            chosen.give(service, ip, connection)
        except OSError:
            self._serve_here(service, connection)
        else:
            admission.enter(ip)
            connection.close()

    def _serve_here(self, service: str, connection: socket.socket) -> None:
        with connection:
            try:
                # The transport duplicates the descriptor.
                self._reactor.adoptStreamConnection(connection.fileno(), connection.family, self._factories[service])
            except OSError:
                # The client has gone, or no descriptor is free.
                return

    def _handlers(self, worker: WorkerProcess) -> Mapping[str, Handler]:
        return {
            **self._requests.handlers(worker),
            "doubted": self._doubted,
            "left": partial(self._left, worker),
        }

    def _left(self, worker: WorkerProcess, pool: str, ip: str) -> None:
        if worker.has_lost(pool, ip):
            self._admissions[pool].leave(ip)
