"""The daemon as a Twisted service: its composition from store, policy and protocols, and its graceful shutdown."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from twisted.application.service import Service
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from typing_extensions import override

from emailsys import __version__
from emailsys.config.exit_status import Exit
from emailsys.config.locations import without_password
from emailsys.config.settings import CertificateFiles, Settings
from emailsys.control.commands import MALFORMED, MISSING, Answer, Commands, error_answer
from emailsys.control.control_socket import SOCKET_NAME, ControlFactory, ControlListener
from emailsys.control.request_reading import read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import MAKES_FIRST_STORE, Init, Request, Status
from emailsys.control.store_access import Hooks
from emailsys.daemon.certificates import CertificateWatch
from emailsys.daemon.listening import Listening
from emailsys.daemon.login_limits import LoginLimits
from emailsys.daemon.mail_log import MailLogFile
from emailsys.daemon.outbound import Outbound
from emailsys.daemon.route_explanation import explainer
from emailsys.daemon.sent_notices import SentNotices
from emailsys.daemon.sessions import Sessions
from emailsys.daemon.shutdown import handle_hang_ups, ignore_hang_ups
from emailsys.daemon.srs_secret import SRS_SECRET, load_or_create_secret
from emailsys.daemon.status import StoreCondition, describe_daemon
from emailsys.daemon.store_placeholder import StorePlaceholder
from emailsys.daemon.unapplied_settings import SettingsWatch
from emailsys.interfaces import IDirectory, IIntake, StoreError, StoreMissing
from emailsys.net.tls.server import ServerTLS
from emailsys.platforms.threads import BackgroundThread
from emailsys.policy.hashing_threads import HashingThreads
from emailsys.policy.login_check import build_portal
from emailsys.policy.password_change import PasswordChanges
from emailsys.policy.password_renewal import Renewal
from emailsys.store.open import DATABASE_NAME, Opening, Store, open_store
from emailsys.store.schema.identity import had_store
from emailsys.supervisor import Bound, FolderLock, StartupError, close_all
from emailsys.telemetry import Telemetry

# Seconds that sessions get for a command in progress during a shutdown. systemd sends SIGKILL after TimeoutStopSec.
DRAIN_SECONDS: Final = 10.0
# Seconds between two checks whether mail can be accepted, and between two log lines about the same problem.
WATCH_EVERY: Final = 2.0
LOG_EVERY: Final = 600.0
# Allocations between two collections of the youngest generation. Python's default, 700, is one or two messages.
_COLLECT_EVERY: Final = 10_000

# Instructions for an operator if files of the store were removed or replaced while the daemon uses them.
_UNTRUSTED: Final = (
    "The daemon reads and writes nothing there, and accepts no mail. Put the original file back, or stop the daemon, "
    "restore a backup and start it again"
)


@dataclass(frozen=True, slots=True)
class OpenedResources:
    """Lock and sockets that were opened before privileges were dropped."""

    lock: FolderLock
    listeners: tuple[Bound, ...]
    # None where the system has no Unix sockets.
    control: socket.socket | None

    def release(self) -> None:
        """Close the sockets and release the lock. A second call does nothing."""
        close_all(self.listeners)
        if self.control is not None:
            self.control.close()
        self.lock.release()


class Daemon(Service):
    """The running mail system.

    @param reactor: with time, sockets and threads.
    @param certificates: returns the certificate files, each time that they are read.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        opened: OpenedResources,
        tls: ServerTLS,
        telemetry: Telemetry,
        certificates: Callable[[], tuple[CertificateFiles, ...]],
    ) -> None:
        self.setName("emailsys")
        self.settings = settings
        self.telemetry = telemetry
        self._reactor = reactor
        self._opened = opened
        self._tls = tls
        self._certificates = CertificateWatch(reactor, tls, telemetry, certificates, SentNotices(settings.state))
        self._store: Store | None = None
        self._hashing: HashingThreads | None = None
        self._login_limits: LoginLimits | None = None
        self._outbound: Outbound | None = None
        self._control: ControlListener | None = None
        self._commands: Commands | None = None
        self._sessions: Sessions | None = None
        # Answers requests while there is no store.
        self._placeholder = StorePlaceholder("")
        # Fires when the sessions that began without a store have ended.
        self._retiring: Deferred[None] | None = None
        self._srs_secret = b""
        self._watching = LoopingCall(lambda: Deferred.fromCoroutine(self._watch()).addErrback(self._log_exception))
        self._watching.clock = reactor
        # Why no mail is accepted, and why the files of the store cannot be trusted; None if all is well.
        self._problem: str | None = None
        self._untrusted: str | None = None
        # When the problem was last logged, on the reactor's clock.
        self._logged_at = 0.0
        self._began = 0.0
        self._mail_log = MailLogFile(settings.monitoring, telemetry)
        self._listening = Listening(settings.state, telemetry)
        self._settings_watch = SettingsWatch(settings, telemetry)
        #: Creates the log observer of twistd; with None, twistd creates its own.
        self.open_log: Callable[[], ILogObserver] | None = None

    @override
    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        if self.open_log is not None and isinstance(parent, Componentized):
            # twistd uses this component of the application unless --logger names another observer.
            parent.setComponent(ILogObserver, self.open_log())

    @override
    def startService(self) -> None:
        """Open the store and listen. If there is no store, answer with 451 until there is one (decision 0023).

        @raise SystemExit: the store cannot be opened. The reason is printed to stderr.
        """
        Service.startService(self)
        # twistd has forked after the lock was taken.
        self._opened.lock.write_pid()
        try:
            store = self._open_store()
        except StoreMissing as missing:
            store, self._placeholder = None, StorePlaceholder(str(missing))
        except (StoreError, StartupError) as error:
            # stderr is the terminal with `serve`, and the log with twistd.
            print(f"emailsys: {error}", file=sys.stderr)
            self._opened.release()
            raise SystemExit(int(Exit.UNAVAILABLE)) from None
        self._mail_log.reopen()
        self._began = self._reactor.seconds()
        self._listening.write(self._opened.listeners)
        if store is not None:
            self._serve(store)
        else:
            placeholder = self._placeholder
            self._sessions = self._listen(placeholder.portal(self.settings.hostname), placeholder, placeholder, {})
        if self._opened.control is not None:
            self._control = ControlListener(self._opened.control, ControlFactory(self, self.telemetry), self._reactor)
            self._control.start()
        self._certificates.start()
        # Operators send SIGHUP after they have renewed certificates.
        handle_hang_ups(lambda: self._reactor.callFromThread(self.hang_up))
        self.telemetry.event(
            "started",
            pid=os.getpid(),
            version=__version__,
            **{service: ",".join(shown) for service, shown in self._listening.addresses.items()},
        )
        _ = self._watching.start(WATCH_EVERY)
        _freeze_startup_objects()

    def _open_store(self, create: bool = False, adopt: bool = False) -> Store:
        self._srs_secret = load_or_create_secret(self.settings.state / SRS_SECRET)
        opening = Opening(takeover_after=self.settings.pop3.takeover_after, create=create, adopt=adopt)
        return open_store(self.settings.store, self.settings.state, self._reactor, self.telemetry, opening)

    def _serve(self, store: Store) -> None:
        """Connect store and policy to the protocols, and start delivery of the queue."""
        settings, telemetry = self.settings, self.telemetry
        self._store = store
        self._outbound = outbound = Outbound(self._reactor, settings, store, telemetry, self._srs_secret)
        # A separate pool: in the reactor's pool, logins would wait behind name look-ups.
        threads = ThreadPool(0, settings.login.hashing_threads, "hashing")
        threads.threadFactory = BackgroundThread
        self._hashing = hashing = HashingThreads(self._reactor, threads, settings.login.max_waiting)
        hashing.start()
        renewal = Renewal(store.accounts, hashing, telemetry)
        self._login_limits = limits = LoginLimits(self._reactor, settings, store.known_networks, telemetry)
        limits.start()
        passwords = PasswordChanges(store.accounts, hashing, telemetry, settings.login.min_password_length)
        access = replace(outbound.access, passwords=passwords)
        portal = build_portal(store.directory, store.maildrops, hashing, access, renewal, limits.failed_logins)
        others = {"metrics": self._metrics_site(store)} if "metrics" in self._listening.addresses else {}
        self._sessions = self._listen(portal, store.directory, outbound.intake, others)
        close_all(self._opened.listeners)
        explain = explainer(settings, store, outbound.runner.failure)
        hooks = Hooks(self.status, explain, outbound.runner.lift_pauses, self._shown_store)
        self._commands = Commands(store, telemetry, hooks)
        outbound.start()
        self._certificates.mail_by(outbound.tell_postmaster)

    def _listen(
        self, portal: Portal, directory: IDirectory, intake: IIntake, others: Mapping[str, IProtocolFactory]
    ) -> Sessions:
        sessions = Sessions(self._reactor, self.settings, self._tls, self.telemetry, portal, directory, intake)
        sessions.listen(self._opened.listeners, others)
        return sessions

    @property
    def _where(self) -> str:
        """The location of the store: its URL without passwords, or its file."""
        return self._shown_store or str(self.settings.state / DATABASE_NAME)

    @property
    def _shown_store(self) -> str | None:
        url = self.settings.store.url
        return None if url is None else without_password(url)

    def _look_for_store(self, create: bool = False, adopt: bool = False) -> None:
        """Serve the store if there is one. An operator may ask to create it, or to adopt another one than before."""
        sessions = self._sessions
        if self._store is not None or sessions is None:
            return
        try:
            store = self._open_store(create, adopt)
        except (StoreError, StartupError) as error:
            self._placeholder.why = str(error)
            return
        self._serve(store)
        # Sessions that began without a store cannot use this one.
        self._retiring = Deferred.fromCoroutine(sessions.retire())
        _ = self._retiring.addErrback(self._log_exception)

    def _log_exception(self, failure: Failure) -> None:
        self.telemetry.exception("store-exception", failure)

    async def _watch(self) -> None:
        """Check whether mail can be accepted. Log a problem at once, then every LOG_EVERY seconds."""
        self._look_for_store()
        problem: str | None = None
        self._untrusted = None if self._store is None else self._store.database.why_untrusted()
        if self._store is None:
            problem = self._placeholder.why
        elif self._untrusted is not None:
            problem = f"{self._untrusted}. {_UNTRUSTED}"
        else:
            try:
                await self._store.directory.default_domain()
            except StoreError as error:
                problem = str(error)
        before, self._problem = self._problem, problem
        if problem is None:
            if before is not None:
                self.telemetry.event("intake-resumed")
        elif before is None or self._reactor.seconds() - self._logged_at >= LOG_EVERY:
            self._logged_at = self._reactor.seconds()
            self.telemetry.alarm("intake-suspended", why=problem)

    async def answer(self, request: object) -> Answer:
        """Answer a request on the control socket.

        Without a store, `status` is carried out, and requests that make a store.
        """
        try:
            known = request if isinstance(request, Request) else read_request(request)
        except MalformedRequest as error:
            return self._with_store(error_answer(MALFORMED, str(error)))
        was_missing = self._store is None
        adopt = isinstance(known, Init) and known.adopt
        makes_first = isinstance(known, MAKES_FIRST_STORE) and not had_store(self.settings.state)
        self._look_for_store(create=makes_first or (isinstance(known, Init) and not adopt), adopt=adopt)
        if isinstance(known, Status):
            await self._watch()
        if self._commands is not None:
            if isinstance(known, Init):
                opened = {"made": was_missing and not adopt, "adopted": was_missing and adopt}
                return {"result": {"store": self._where, **opened}}
            return await self._commands.answer(known)
        if isinstance(known, Status):
            return self._with_store({"result": self.status()})
        return self._with_store(error_answer(MISSING, self._placeholder.why))

    def _with_store(self, answer: Answer) -> Answer:
        return answer if self._shown_store is None else {**answer, "store": self._shown_store}

    @override
    def stopService(self) -> Deferred[None]:
        """Stop listening, close idle sessions, wait for the others, close the store.

        Sessions get DRAIN_SECONDS, outbound deliveries `queue.stop_grace`.
        """
        Service.stopService(self)
        stopped = Deferred.fromCoroutine(self._stop())
        _ = stopped.addErrback(lambda failure: self.telemetry.exception("stop-exception", failure))
        return stopped

    async def _stop(self) -> None:
        sessions, self._sessions = self._sessions, None
        if sessions is None:
            self._opened.release()
            return
        self.telemetry.event("stopping")
        # There is nothing left to reload, and by default the signal would end the process in mid-drain.
        ignore_hang_ups()
        self._certificates.stop()
        if self._watching.running:
            self._watching.stop()
        await sessions.stop_listening()
        close_all(self._opened.listeners)
        if self._control is not None:
            self._control.stop()
        with suppress(FileNotFoundError):
            (self.settings.state / SOCKET_NAME).unlink()
        sent = None if self._outbound is None else Deferred.fromCoroutine(self._outbound.stop())
        left = await sessions.end(DRAIN_SECONDS)
        if self._hashing is not None:
            self._hashing.stop()
        for ending in (sent, self._retiring):
            if ending is not None:
                await ending
        if self._login_limits is not None:
            await self._login_limits.stop()
        if self._store is not None:
            await self._store.close()
        self.telemetry.event("stopped", aborted=left)
        self._mail_log.close()
        self._listening.remove()
        self._opened.release()

    def _metrics_site(self, store: Store) -> IProtocolFactory:
        # Imported here, because it uses 10 MB of memory that a system without metrics does not need.
        from emailsys.monitoring.metrics import Sources, metrics_site

        database = store.database
        sources = Sources(
            self.telemetry,
            store.queue_operations,
            self._count_sessions,
            lambda: self._reactor.seconds() - self._began,
            lambda: (database.batches, database.committed, database.waiting_octets, database.engine.free_octets()),
        )
        site: Any = metrics_site(sources, self._reactor)
        factory: IProtocolFactory = site
        return factory

    def _count_sessions(self) -> dict[str, int]:
        return {} if self._sessions is None else self._sessions.count()

    def status(self) -> Mapping[str, Any]:
        """Return the status that the command `status` shows."""
        return describe_daemon(
            self.settings,
            self.telemetry,
            self._reactor.seconds() - self._began,
            self._listening.addresses,
            self._count_sessions(),
            None if self._outbound is None else self._outbound.runner,
            self._store,
            StoreCondition(self._where, self._problem, self._untrusted is not None),
            self._certificates.status(),
        )

    def hang_up(self) -> None:
        """SIGHUP: read renewed certificates, reopen the mail log, and say which settings need a restart.

        If one step fails, the others are still done.
        """
        for step in (self._certificates.reload, self._mail_log.reopen, self._settings_watch.report):
            try:
                step()
            except Exception:
                self.telemetry.exception("reload-exception", Failure())


def _freeze_startup_objects() -> None:
    """Exempt the objects of the start from garbage collection: they live as long as the process.

    A full collection that examined them stopped all sessions for about 20 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)
