"""A worker: a process that serves the connections that the daemon passes on. Only the daemon starts it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import globalLogBeginner
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from emailsys import __version__
from emailsys.config.settings import Settings
from emailsys.daemon.garbage import freeze_startup_objects
from emailsys.daemon.hashing import start_hashing
from emailsys.daemon.logins import DaemonLogins, load_logins
from emailsys.daemon.mailboxes import DaemonMailboxes, load_mailboxes
from emailsys.daemon.pop3 import configure_pop3, pop3_factory
from emailsys.daemon.session_endings import SessionEndings
from emailsys.daemon.worker_channel import Channel, ChannelFactory, ChannelLost, Handler
from emailsys.daemon.worker_connections import Receiver
from emailsys.daemon.worker_sharing import POOLS, PassedEvents, SharedAdmission, SharedFailedLogins, unpacked
from emailsys.interfaces import StoreError
from emailsys.mail.networks import Networks
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.tls.server import ServerTLS, TLSConfigError
from emailsys.policy.hashing_threads import HashingThreads
from emailsys.policy.login_check import StoredSecrets, VerifiedLogins, build_portal
from emailsys.policy.password_renewal import Renewal
from emailsys.policy.trusted_networks import exemption
from emailsys.store.open import Opening, Store, open_store
from emailsys.supervisor import StartupError

if TYPE_CHECKING:
    from emailsys.daemon.worker_smtp import WorkerSMTP
    from emailsys.net.smtp.server import ESMTPServerFactory

# Seconds that sessions get for a command in progress: when the daemon stops, and when it has died.
_DRAIN_SECONDS: Final = 10.0
_ORPHANED_SECONDS: Final = 1.0


class Worker:
    """The worker of this process.

    @param connections: the socket on which the daemon passes connections.
    """

    # From `_begin` on.
    _settings: Settings
    _tls: ServerTLS
    _store: Store
    _logins: DaemonLogins
    _mailboxes: DaemonMailboxes
    _hashing: HashingThreads
    _failed_logins: SharedFailedLogins
    _verified: VerifiedLogins
    _pop3: POP3ServerFactory
    # None if this worker serves POP3 alone.
    _smtp: WorkerSMTP | None = None
    # The servers by pool, and the factories by service.
    _pools: Mapping[str, ESMTPServerFactory | POP3ServerFactory]
    _factories: Mapping[str, IProtocolFactory]
    _endings: SessionEndings

    def __init__(self, reactor: Any, connections: socket.socket) -> None:
        self._reactor = reactor
        self._telemetry = PassedEvents()
        # twistd would log to a file of its own; the daemon has the only log.
        globalLogBeginner.beginLoggingTo([self._telemetry], redirectStandardIO=False)
        self._receiver = Receiver(reactor, connections, self._take, self._no_more, self._telemetry)
        self._handlers: dict[str, Handler] = {
            "begin": self._begin,
            "configure": self._configure,
            "certificates": self._read_certificates,
            "verify": self._verify,
            "verified": self._learn,
            "give-up": self._give_up,
            "generation": self._generation,
            "delivered": self._delivered,
            "relieve": self._relieve,
            "ping": self._ping,
            "stop": self._stop,
        }
        self.channel = self._telemetry.channel = Channel(self._handlers, self._orphaned, self._telemetry)
        self._began = False
        self._ending: Deferred[None] | None = None
        # Fires when no more connections come.
        self._drained: Deferred[None] = Deferred()

    def _begin(self, version: str, settings: str, certificates: str, key: str) -> Mapping[str, object]:
        """Open the store and serve. Returns why that is impossible, or nothing."""
        if version != __version__:
            return {"problem": f"version {__version__} is installed now, and {version} runs: run emailsys restart"}
        self._settings = unpacked(settings)
        channel, telemetry, reactor = self.channel, self._telemetry, self._reactor
        try:
            self._tls = ServerTLS(unpacked(certificates))
            self._logins = logins = load_logins(self._settings.login, self._settings.hostname, reactor)
            self._mailboxes = mailboxes = load_mailboxes(self._settings.pop3, self._settings.hostname, reactor)
            opening = Opening(self._settings.pop3.takeover_after, sweep=False, upgrade=False)
            self._store = store = open_store(self._settings.store, self._settings.state, reactor, telemetry, opening)
            trusted = Networks(self._settings.routing.trusted_networks)
            is_exempt = exemption(trusted, self._settings.limits.exempt_loopback)
            if self._settings.workers:
                self._smtp = _smtp_of(reactor, self._settings, store, telemetry, channel, is_exempt)
        except (StoreError, TLSConfigError, StartupError) as error:
            return {"problem": str(error)}
        store.maildrops.ask_others = self._ask_others
        store.database.engine.end_other_processes = self._tell_doubt
        store.directory.tell = lambda number: channel.tell("generation", number=number)
        store.quotas.tell = lambda delivered: channel.tell("delivered", delivered=delivered)
        self._hashing = hashing = start_hashing(reactor, self._settings.login)
        smtp = self._smtp
        access = None if smtp is None else smtp.access
        if access is not None:
            access.passwords = logins.password_changes(store.accounts, hashing, telemetry)
        self._failed_logins = SharedFailedLogins(channel, is_exempt)
        self._verified = VerifiedLogins(key=bytes.fromhex(key))
        self._verified.tell = lambda digest: channel.tell("verified", digest=digest.hex())
        environment = ServiceEnvironment(
            portal=build_portal(
                store.directory,
                store.maildrops,
                hashing,
                access,
                Renewal(store.accounts, hashing, telemetry),
                self._failed_logins,
                self._verified,
                logins.serve(store, telemetry),
                mailboxes.serve(store.maildrops, telemetry),
            ),
            clock=reactor,
            telemetry=telemetry,
            hostname=self._settings.hostname,
            context_factory=self._tls,
            handshake_timeout=self._settings.tls.handshake_timeout,
            secrets=StoredSecrets(store.directory),
        )
        self._pop3 = pop3 = pop3_factory(environment, self._settings, SharedAdmission(channel, "pop3"))
        if smtp is not None:
            smtp.serve(environment, self._settings)
            self._handlers |= smtp.handlers
        pools: dict[str, ESMTPServerFactory | POP3ServerFactory] = {"pop3": pop3}
        if smtp is not None:
            pools |= smtp.servers
        self._pools = pools
        of_service = {service: pools[pool] for service, pool in POOLS.items() if pool in pools}
        self._factories = {service: self._factory(service, server) for service, server in of_service.items()}
        self._endings = SessionEndings(reactor, dict(pools))
        self._began = True
        self._receiver.start()
        freeze_startup_objects()
        return {}

    def _factory(self, service: str, server: Any) -> IProtocolFactory:
        """Return the factory of a service, with TLS from the first octet if the service requires it."""
        factory: Any = server
        if service in ("submissions", "pop3s"):
            factory = TLSMemoryBIOFactory(self._tls, False, factory, self._reactor)
        adopted: IProtocolFactory = factory
        return adopted

    def _take(self, service: str, ip: str, connection: socket.socket | None) -> None:
        """Serve a connection."""
        try:
            if connection is None:
                raise OSError("the connection was lost on its way")
            with connection:
                self._reactor.adoptStreamConnection(connection.fileno(), connection.family, self._factories[service])
        except Exception as error:
            # No session will say that it has ended.
            self.channel.tell("left", pool=POOLS[service], ip=ip)
            # Usually the client has gone, or no descriptor is free.
            if not isinstance(error, OSError):
                raise

    def _no_more(self) -> None:
        self._drained.callback(None)

    async def _verify(self, number: int) -> bool | str:
        return await self._failed_logins.verify_now(number)

    def _learn(self, digest: str) -> None:
        self._verified.learn(bytes.fromhex(digest))

    async def _give_up(self, account_id: int) -> bool:
        return await self._store.maildrops.give_up(account_id)

    def _generation(self, number: int) -> None:
        """Another process has changed the directory, perhaps quotas."""
        self._store.directory.changed(number)
        self._store.quotas.forget()

    def _delivered(self, delivered: list[tuple[int, int]]) -> None:
        self._store.quotas.count_elsewhere(delivered)

    def _relieve(self, pool: str, is_full: bool) -> None:
        self._pools[pool].relieve(is_full)

    async def _ask_others(self, account_id: int) -> bool:
        """Ask the daemon and its other workers to give up a maildrop."""
        try:
            return bool(await self.channel.ask("take-over", account_id=account_id))
        except ChannelLost:
            return False

    def _tell_doubt(self) -> bool:
        """Tell the daemon that a checkpoint failed: it ends this process. Called in a thread of the store."""
        self._reactor.callFromThread(self.channel.tell, "doubted")
        return False

    def _configure(self, settings: str) -> None:
        self._settings = unpacked(settings)
        configure_pop3(self._pop3, self._settings)
        self._store.configure(self._settings.store)
        if self._smtp is not None:
            self._smtp.configure(self._settings)

    def _read_certificates(self, certificates: str) -> None:
        try:
            self._tls.reload(unpacked(certificates))
        except TLSConfigError as error:
            self._telemetry.event("certificates-refused", why=str(error))

    def _ping(self) -> Mapping[str, object]:
        database = self._store.database
        return {"damaged": database.damage.first_known(), "activity": database.activity}

    async def _stop(self, is_succeeded: bool) -> int:
        """End the sessions in order. Returns how many were interrupted. The channel closes when all is on disk."""
        await self._drained
        left = await self._endings.end(_DRAIN_SECONDS, is_succeeded)
        await self._close()
        return left

    def _orphaned(self) -> None:
        """The daemon has ended, or closed the channel. Sessions end at once: a new daemon must get their maildrops."""
        if not self._began:
            self._reactor.stop()
        elif self._ending is None:
            self._ending = Deferred.fromCoroutine(self._end_orphaned())
            _ = self._ending.addErrback(self._ended_badly)

    async def _end_orphaned(self) -> None:
        await self._endings.end(_ORPHANED_SECONDS)
        await self._close()
        self._reactor.stop()

    async def _close(self) -> None:
        if self._smtp is not None:
            await self._smtp.stop()
        self._logins.stop()
        await self._mailboxes.stop()
        self._hashing.stop()
        await self._store.close()
        self._began = False

    def _ended_badly(self, failure: Failure) -> None:
        self._telemetry.exception("worker-exception", failure)
        self._reactor.stop()


def _smtp_of(*parts: Any) -> WorkerSMTP:
    # Imported here: a worker that serves POP3 alone needs neither its memory nor its time.
    from emailsys.daemon.worker_smtp import WorkerSMTP

    return WorkerSMTP(*parts)


def main() -> None:
    """Serve until the daemon says that it ends. Arguments: the descriptors of the channel and of the connections."""
    from emailsys.daemon import install_reactor

    # A terminal and systemd send signals to all processes of the daemon. It tells its workers what to do.
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)
    # Only this user may read the files that the process creates.
    os.umask(0o077)
    install_reactor()
    from twisted.internet import reactor

    channel, connections = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    for one in (channel, connections):
        one.setblocking(False)
        one.set_inheritable(False)
    worker = Worker(reactor, connections)
    adopting: Any = reactor
    with channel:
        adopting.adoptStreamConnection(channel.fileno(), channel.family, ChannelFactory(worker.channel))
    adopting.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
