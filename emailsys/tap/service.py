"""The daemon as a service: store, policy and protocols joined, listening; and how all of it ends in order."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import ILogObserver
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.components import Componentized
from twisted.python.threadpool import ThreadPool
from typing_extensions import override

from emailsys import __version__
from emailsys.config.exits import Exit
from emailsys.config.places import without_password
from emailsys.config.settings import CertificateFiles, POP3Settings, Settings, SMTPSettings
from emailsys.interfaces import StoreError
from emailsys.mail.ip import is_loopback
from emailsys.net.admission import Admission
from emailsys.net.pop3_authorization import POP3Service
from emailsys.net.pop3_server import POP3ServerFactory
from emailsys.net.smtp_server import ESMTPServerFactory
from emailsys.net.smtp_service import Kind, SMTPService
from emailsys.net.tls import ServerTLS, TLSConfigError
from emailsys.ops.commands import Commands
from emailsys.ops.control import SOCKET_NAME, ControlFactory, ControlListener
from emailsys.ops.doors import Hooks
from emailsys.ops.fields import time_field
from emailsys.ops.mail_log import MailLog
from emailsys.policy.hashing import HashingThreads
from emailsys.policy.login import StoredSecrets, build_portal
from emailsys.policy.renewal import Renewal
from emailsys.policy.trusted import TrustedNetworks
from emailsys.store.intake import ROOM
from emailsys.store.open import Opening, Store, open_store
from emailsys.supervisor import Bound, FolderLock, StartupError, close_all
from emailsys.tap.explaining import explainer
from emailsys.tap.outbound import Outbound
from emailsys.tap.secrets import SRS_SECRET, kept_secret
from emailsys.telemetry import Telemetry

# Seconds that sessions get to finish what they do when the daemon is asked to end; systemd waits 90 before it kills.
DRAIN_SECONDS: Final = 10.0
_DRAIN_POLL: Final = 0.05
# Seconds between two readings of the certificates: renewed ones are served, ticket keys change (RFC 9325 §4.3.1).
CERTIFICATES_EVERY: Final = 86400.0
# Allocations between two looks for garbage in cycles; Python's own 700 are a message or two.
_COLLECT_EVERY: Final = 10_000

# Next hops that `status` tells of, the busiest first.
_NEXT_HOPS: Final = 20


class Drainable(Protocol):
    """A factory whose sessions can be ended."""

    sessions: Any

    def drain(self) -> int:
        """End the sessions that do nothing now; returns how many are left."""


@dataclass(frozen=True, slots=True)
class Held:
    """What was opened before privileges were dropped."""

    lock: FolderLock
    listeners: tuple[Bound, ...]
    control: socket.socket

    def release(self) -> None:
        """Close all of it and give the folder up. Does nothing the second time."""
        close_all(self.listeners)
        self.control.close()
        self.lock.release()


class Daemon(Service):
    """The running mail system.

    @param reactor: with time, sockets and threads.
    @param certificates: names the certificate files anew when they are to be read again.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        held: Held,
        tls: ServerTLS,
        telemetry: Telemetry,
        certificates: Callable[[], tuple[CertificateFiles, ...]],
    ) -> None:
        self.setName("emailsys")
        self.settings = settings
        self.telemetry = telemetry
        self._reactor = reactor
        self._held = held
        self._tls = tls
        self._certificates = certificates
        self._store: Store | None = None
        self._hashing: HashingThreads | None = None
        self._outbound: Outbound | None = None
        self._control: ControlListener | None = None
        self._factories: dict[str, Drainable] = {}
        self._ports: list[IListeningPort] = []
        self._addresses: dict[str, list[str]] = {}
        self._renewal = LoopingCall(self.reload_certificates)
        self._renewal.clock = reactor
        self._began = 0.0
        self._mail_log: MailLog | None = None
        #: Makes what twistd shall log to; None leaves it the choice.
        self.open_log: Callable[[], ILogObserver] | None = None

    @override
    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        if self.open_log is not None and isinstance(parent, Componentized):
            # twistd asks its application for this, unless --logger names another.
            parent.setComponent(ILogObserver, self.open_log())

    @override
    def startService(self) -> None:
        """@raise SystemExit: the store cannot be opened; why is told on standard error."""
        Service.startService(self)
        # twistd has forked since the lock was taken.
        self._held.lock.write_pid()
        try:
            srs_secret = kept_secret(self.settings.state / SRS_SECRET)
            store = open_store(
                self.settings.store,
                self.settings.state,
                self._reactor,
                self.telemetry,
                Opening(takeover_after=self.settings.pop3.takeover_after),
            )
        except (StoreError, StartupError) as error:
            # Standard error is the terminal in `serve`, and the log under twistd.
            print(f"emailsys: {error}", file=sys.stderr)
            self._held.release()
            raise SystemExit(int(Exit.UNAVAILABLE)) from None
        self._store = store
        self._open_mail_log()
        self._began = self._reactor.seconds()
        self._outbound = outbound = Outbound(self._reactor, self.settings, store, self.telemetry, srs_secret)
        self._factories = self._join(store, outbound)
        for bound in self._held.listeners:
            self._addresses.setdefault(bound.service, []).append(bound.shown)
            factory = self._metrics_site(store) if bound.service == "metrics" else self._outward(bound.service)
            self._adopt(bound.socket, factory)
        url = self.settings.store.url
        hooks = Hooks(
            self.status,
            explainer(self.settings, store),
            outbound.runner.lift_pauses,
            None if url is None else without_password(url),
        )
        commands = Commands(store, self.telemetry, hooks)
        self._control = ControlListener(self._held.control, ControlFactory(commands, self.telemetry), self._reactor)
        self._control.start()
        outbound.start()
        _ = self._renewal.start(CERTIFICATES_EVERY, now=False)
        # An operator who renewed certificates does not want to wait for a day.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._hang_up))
        self.telemetry.event(
            "started",
            pid=os.getpid(),
            version=__version__,
            **{service: ",".join(shown) for service, shown in self._addresses.items()},
        )
        _spare_what_stays()

    @override
    def stopService(self) -> Deferred[None]:
        """Stop listening, end what is idle, let the others finish for a while, close the store.

        Sessions have DRAIN_SECONDS, deliveries to other hosts `queue.stop_grace`.
        """
        Service.stopService(self)
        stopped = Deferred.fromCoroutine(self._stop())
        _ = stopped.addErrback(lambda failure: self.telemetry.surprise("stop", failure))
        return stopped

    async def _stop(self) -> None:
        store, self._store = self._store, None
        if store is None:
            self._held.release()
            return
        self.telemetry.event("stopping")
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        if self._renewal.running:
            self._renewal.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        if self._control is not None:
            self._control.stop()
        with suppress(FileNotFoundError):
            (self.settings.state / SOCKET_NAME).unlink()
        assert self._outbound is not None
        sent = Deferred.fromCoroutine(self._outbound.stop())
        factories = tuple(dict.fromkeys(self._factories.values()))
        deadline = self._reactor.seconds() + DRAIN_SECONDS
        while (left := sum(factory.drain() for factory in factories)) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _DRAIN_POLL)
        for factory in factories:
            for session in tuple(factory.sessions):
                session.abort()
        if self._hashing is not None:
            self._hashing.stop()
        await sent
        await store.close()
        self.telemetry.event("stopped", aborted=left)
        if self._mail_log is not None:
            self.telemetry.also = None
            self._mail_log.close()
        self._held.release()

    def _join(self, store: Store, outbound: Outbound) -> dict[str, Drainable]:
        """A factory for each service: this is where policy and store meet the protocols."""
        settings, telemetry, clock = self.settings, self.telemetry, self._reactor
        # A pool of its own: the reactor's may be busy with name look-ups, and a login would wait behind them.
        threads = ThreadPool(0, settings.login.hashing_threads, "hashing")
        self._hashing = hashing = HashingThreads(self._reactor, threads, settings.login.max_waiting)
        hashing.start()
        renewal = Renewal(store.accounts, hashing, telemetry)
        portal = build_portal(store.directory, store.maildrops, hashing, outbound.access, renewal)

        secrets = StoredSecrets(store.directory)
        smtp_admission = self._admission(settings.smtp)

        def smtp(kind: Kind) -> ESMTPServerFactory:
            return ESMTPServerFactory(
                SMTPService(
                    kind=kind,
                    portal=portal,
                    intake=outbound.intake,
                    settings=settings.smtp,
                    clock=clock,
                    telemetry=telemetry,
                    hostname=settings.hostname,
                    context_factory=self._tls,
                    handshake_timeout=settings.tls.handshake_timeout,
                    admission=smtp_admission,
                    secrets=secrets,
                )
            )

        pop3 = POP3ServerFactory(
            POP3Service(
                portal=portal,
                settings=settings.pop3,
                clock=clock,
                telemetry=telemetry,
                hostname=settings.hostname,
                context_factory=self._tls,
                handshake_timeout=settings.tls.handshake_timeout,
                expire_days=settings.store.maildrop_days,
                admission=self._admission(settings.pop3),
                secrets=secrets,
            )
        )
        receive, submission = smtp(Kind.RECEIVE), smtp(Kind.SUBMISSION)
        return {"smtp": receive, "submission": submission, "submissions": submission, "pop3": pop3, "pop3s": pop3}

    def _admission(self, limits: SMTPSettings | POP3Settings) -> Admission:
        trusted = TrustedNetworks(self.settings.routing.trusted_networks)
        return Admission(
            limits.max_connections, limits.max_connections_per_ip, lambda ip: is_loopback(ip) or ip in trusted
        )

    def _metrics_site(self, store: Store) -> IProtocolFactory:
        # Imported here, because it takes 10 MB that a system without it does not need.
        from emailsys.ops.metrics import Sources, metrics_site

        database = store.database
        sources = Sources(
            self.telemetry,
            store.queue_operations,
            self._sessions,
            lambda: self._reactor.seconds() - self._began,
            lambda: (database.batches, database.committed, database.waiting_octets, database.engine.free_octets()),
        )
        site: Any = metrics_site(sources, self._reactor)
        factory: IProtocolFactory = site
        return factory

    def _sessions(self) -> dict[str, int]:
        return {name: len(factory.sessions) for name, factory in self._factories.items()}

    def _outward(self, service: str) -> IProtocolFactory:
        """The factory as the port has it: with TLS from the first octet where the service asks for that."""
        factory: Any = self._factories[service]
        if service in ("submissions", "pop3s"):
            factory = TLSMemoryBIOFactory(self._tls, False, factory, self._reactor)
        outward: IProtocolFactory = factory
        return outward

    def _adopt(self, listener: socket.socket, factory: IProtocolFactory) -> None:
        # The port has a descriptor of its own, a copy.
        self._ports.append(self._reactor.adoptStreamPort(listener.fileno(), listener.family, factory))
        listener.close()

    def status(self) -> Mapping[str, Any]:
        """What `status` at the control socket answers; times in seconds, `disk` in octets."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "hostname": self.settings.hostname,
            "state": str(self.settings.state),
            "config": None if self.settings.source is None else str(self.settings.source),
            "listening": dict(self._addresses),
            "up": round(self._reactor.seconds() - self._began, 1),
            "sessions": self._sessions(),
            "next_hops": [
                {
                    "name": hop.name,
                    "held": hop.held,
                    "under_way": hop.under_way,
                    "paused_until": time_field(hop.paused_until),
                    "reason": hop.reason,
                }
                for hop in (self._outbound.runner.status()[:_NEXT_HOPS] if self._outbound is not None else ())
            ],
            "disk": self._disk(),
            "counters": dict(self.telemetry.counters),
        }

    def _disk(self) -> Mapping[str, int] | None:
        """What the disk has left for mail, and how much it must have for mail to be taken.

        None where the disk is not seen from here.
        """
        free = self._store.database.engine.free_octets() if self._store is not None else None
        if free is None:
            return None
        free = max(0, free)
        return {"free": free, "wanted": int(ROOM * self.settings.smtp.max_message_size)}

    def _open_mail_log(self) -> None:
        monitoring = self.settings.monitoring
        if monitoring.mail_log is not None:
            try:
                self._mail_log = MailLog(monitoring.mail_log, monitoring.log_format)
            except OSError as error:
                # Mail goes on; that its log does not is in the daemon's own.
                self.telemetry.event("mail-log.refused", path=monitoring.mail_log, why=error.strerror)
            else:
                self.telemetry.also = self._mail_log.write

    def _hang_up(self) -> None:
        """SIGHUP: certificates were renewed, or the log was rotated."""
        self.reload_certificates()
        if self._mail_log is not None:
            try:
                self._mail_log.reopen()
            except OSError as error:
                self.telemetry.event("mail-log.refused", path=self.settings.monitoring.mail_log, why=error.strerror)

    def reload_certificates(self) -> None:
        """Read the certificates again; where they are wrong, those in use stay, and the log has the reason."""
        try:
            self._tls.reload(self._certificates())
        except (TLSConfigError, StartupError) as error:
            self.telemetry.event("certificates.refused", why=str(error))
        else:
            self.telemetry.event("certificates.reloaded", expire=self._tls.not_valid_after)


def _spare_what_stays() -> None:
    """Let the garbage collector leave alone what was made for starting: it lives as long as the process.

    To look through all of it, as every full collection would, held up each session for some 20 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)
