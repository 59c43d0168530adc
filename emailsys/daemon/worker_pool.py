"""The worker processes of the daemon: started, watched, given connections, started again, and ended (decision 0034)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from emailsys import __version__
from emailsys.config.settings import Settings
from emailsys.daemon.worker_channel import ChannelLost, Handler
from emailsys.daemon.worker_connections import Acceptor
from emailsys.daemon.worker_process import WorkerProcess
from emailsys.daemon.worker_sharing import PassedExceptionError, login_outcome, packed, why_unverified
from emailsys.interfaces import LoginBusy, StoreError
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.serving.admission import ConnectionLimit
from emailsys.net.serving.eviction import LOOK_EVERY
from emailsys.net.tls.server import ServerTLS
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.login_check import VerifiedLogins
from emailsys.store.open import Store
from emailsys.supervisor import Bound
from emailsys.telemetry import Telemetry

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
# Seconds that another worker gets to give up a maildrop.
_GIVE_UP_SECONDS: Final = 2.0


class Workers:
    """The workers, and the connections that the daemon accepts for them.

    The daemon serves a connection itself if no worker takes it, if it must be refused, and while it records.

    @param verified: the verified passwords. All processes recognise those that one of them has verified.
    @param is_recording: whether connections are recorded.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        telemetry: Telemetry,
        store: Store,
        failed_logins: FailedLogins,
        tls: ServerTLS,
        verified: VerifiedLogins,
        is_recording: Callable[[], bool],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._telemetry = telemetry
        self._store = store
        self._failed_logins = failed_logins
        self._tls = tls
        self._verified = verified
        self._is_recording = is_recording
        self._most = settings.pop3.workers
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
        # The daemon's own server, and its factories by service.
        self._own: POP3ServerFactory | None = None
        self._factories: dict[str, IProtocolFactory] = {}
        self._waiting = 0
        self._next_look = 0.0
        store.maildrops.ask_others = partial(self._take_over, None)
        store.database.engine.end_helpers = self._end_for_proof
        verified.tell = lambda digest: self._tell_verified(None, digest.hex())

    def start(self) -> None:
        """Start the workers. Until they serve, the daemon does."""
        for _ in range(self._most):
            self._start_one()
        _ = self._pinging.start(_PING_EVERY, now=False)

    def listen(self, bound: Bound, factory: IProtocolFactory, own: POP3ServerFactory) -> Acceptor:
        """Accept connections on a socket. @param factory: for those that the daemon serves, by sessions of `own`."""
        self._own = own
        self._factories[bound.service] = factory
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

    @property
    def connections(self) -> int:
        """The connections that workers have."""
        return sum(worker.connections for worker in self._workers)

    @property
    def damaged(self) -> Collection[Mapping[str, str]]:
        """The damaged messages that workers have met, as in the status."""
        return [message for worker in self._workers for message in worker.told.get("damaged", ())]

    def status(self) -> Mapping[str, Any]:
        """Return what the command `status` shows."""
        now = self._reactor.seconds()
        return {
            "wanted": self._most,
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
        if self._own is not None:
            for ip in worker.clients.elements():
                self._own.service.admission.leave(ip)
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
        if not self._serving() or self._is_recording() or self._own is None:
            self._serve_here(service, connection)
            return
        admission = self._own.service.admission
        now = self._reactor.seconds()
        if admission.is_under_pressure and now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            for worker in self._serving():
                worker.channel.tell("relieve", is_full=False)
        if admission.refusal(ip) is ConnectionLimit.TOTAL and self._waiting < _MAX_WAITING:
            self._waiting += 1
            relieved = [worker.channel.ask("relieve", is_full=True) for worker in self._serving()]
            _ = gatherResults(relieved, consumeErrors=True).addBoth(self._relieved, service, connection, ip)
        else:
            self._give(service, connection, ip)

    def _relieved(self, _: object, service: str, connection: socket.socket, ip: str) -> None:
        self._waiting -= 1
        self._give(service, connection, ip)

    def _give(self, service: str, connection: socket.socket, ip: str) -> None:
        own, serving = self._own, self._serving()
        if own is None or not serving or own.service.admission.refusal(ip) is not None:
            self._serve_here(service, connection)
            return
        try:
            # One that is late with a sign of life gets connections only if all are.
            chosen = min(serving, key=lambda worker: (worker.unanswered > 1, worker.connections))
            chosen.give(service, ip, connection)
        except OSError:
            self._serve_here(service, connection)
        else:
            own.service.admission.enter(ip)
            connection.close()

    def _serve_here(self, service: str, connection: socket.socket) -> None:
        with connection:
            try:
                # The transport duplicates the descriptor.
                self._reactor.adoptStreamConnection(connection.fileno(), connection.family, self._factories[service])
            except OSError:
                # The client has gone, or no descriptor is free.
                return

    # Messages of the workers

    def _handlers(self, worker: WorkerProcess) -> Mapping[str, Handler]:
        return {
            "event": self._event,
            "exception": self._exception,
            "left": partial(self._left, worker),
            "login": partial(self._login, worker),
            "doubted": self._doubted,
            "take-over": partial(self._take_over, worker),
            "verified": partial(self._tell_verified, worker),
        }

    def _event(self, level: str, name: str, fields: Mapping[str, object]) -> None:
        log = self._telemetry.alarm if level == "critical" else self._telemetry.event
        log(name, **fields)

    def _exception(self, name: str, traceback: str, fields: Mapping[str, object]) -> None:
        self._telemetry.exception(name, Failure(PassedExceptionError(traceback)), **fields)

    def _left(self, worker: WorkerProcess, ip: str) -> None:
        if worker.has_lost(ip) and self._own is not None:
            self._own.service.admission.leave(ip)

    async def _login(
        self, worker: WorkerProcess, number: int, password: list[int] | None, ip: str, digest: str
    ) -> bool | str:
        """Count a login in the counters of all processes. The worker verifies the password when it is its turn."""

        async def verify() -> bool:
            return login_outcome(await worker.channel.ask("verify", number=number))

        password_id = None if password is None else (password[0], password[1])
        try:
            return await self._failed_logins.verify(password_id, ip, bytes.fromhex(digest), verify)
        except LoginBusy as error:
            return why_unverified(error)

    def _tell_verified(self, verifier: WorkerProcess | None, digest: str) -> None:
        if verifier is not None:
            self._verified.learn(bytes.fromhex(digest))
        for worker in self._serving():
            if worker is not verifier:
                worker.channel.tell("verified", digest=digest)

    async def _take_over(self, asking: WorkerProcess | None, account_id: int) -> bool:
        """Have the process that serves a silent session give up its maildrop. Returns whether one did."""
        if asking is not None and await self._store.maildrops.give_up(account_id):
            return True
        for worker in self._serving():
            if worker is asking:
                continue
            asked = worker.channel.ask("give-up", account_id=account_id).addTimeout(_GIVE_UP_SECONDS, self._reactor)
            try:
                if await asked:
                    return True
            except (ChannelLost, NoAnswer):
                continue
        return False
