"""The daemon as a Twisted service: its composition from store, policy and protocols, and its graceful shutdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final

from twisted.application.service import Service
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver
from twisted.python.components import Componentized
from typing_extensions import override

from emailsys import __version__
from emailsys.config.exit_status import Exit
from emailsys.config.settings import CertificateFiles, Settings
from emailsys.control.commands import Commands
from emailsys.control.control_server import ControlFactory, ControlListener
from emailsys.control.control_socket import SOCKET_NAME
from emailsys.control.daemon_requests import MoveHold as MoveHoldRequest
from emailsys.control.daemon_requests import Reload as ReloadRequest
from emailsys.control.store_access import Hooks
from emailsys.control.watching import WatchStream
from emailsys.daemon.certificates import CertificateWatch
from emailsys.daemon.control_answers import ControlAnswers, ProcessRequest
from emailsys.daemon.hashing import start_hashing
from emailsys.daemon.intake_watch import IntakeWatch
from emailsys.daemon.listening import Listening
from emailsys.daemon.log_output import LogObserver
from emailsys.daemon.login_limits import LoginLimits
from emailsys.daemon.mail_log import MailLogFile
from emailsys.daemon.metrics import MonitoringPages
from emailsys.daemon.move_hold import Held, MoveHold
from emailsys.daemon.outbound import Outbound
from emailsys.daemon.reload import Reload, Reloaded
from emailsys.daemon.resources import OpenedResources
from emailsys.daemon.route_explanation import explainer
from emailsys.daemon.sent_notices import SentNotices
from emailsys.daemon.sessions import Sessions
from emailsys.daemon.shutdown import forget_hang_ups, on_hang_up
from emailsys.daemon.srs_secret import SRS_SECRET, load_or_create_secret
from emailsys.daemon.status import StoreCondition, describe_daemon
from emailsys.daemon.store_location import StoreLocation
from emailsys.daemon.store_placeholder import StorePlaceholder
from emailsys.daemon.succession import Outcome, Succession
from emailsys.daemon.systemd_reports import SystemdReports
from emailsys.daemon.web import Web
from emailsys.daemon.web_services import web_services
from emailsys.daemon.wire_records import WireRecords
from emailsys.daemon.workers import DaemonWorkers
from emailsys.interfaces import IDirectory, IIntake, StoreError, StoreMissing
from emailsys.net.tls.server import ServerTLS
from emailsys.platforms.files import private_files
from emailsys.platforms.systemd import Systemd
from emailsys.policy.hashing_threads import HashingThreads
from emailsys.policy.login_check import VerifiedLogins, build_portal
from emailsys.policy.password_renewal import Renewal
from emailsys.store.open import Opening, Store, open_store
from emailsys.supervisor import StartupError, close_all
from emailsys.telemetry import Telemetry

# Seconds that sessions get for a command in progress during a shutdown. systemd sends SIGKILL after TimeoutStopSec.
DRAIN_SECONDS: Final = 10.0


class Daemon(Service):
    """The running mail system.

    @param reactor: with time, sockets and threads.
    @param certificates: returns the certificate files of settings, each time that they are read.
    @param fit: lowers connection limits to what the process can open.
    """

    #: Names the service manager that is told about the process; empty for a program that tells it by itself.
    environ: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        opened: OpenedResources,
        tls: ServerTLS,
        telemetry: Telemetry,
        certificates: Callable[[Settings], tuple[CertificateFiles, ...]],
        fit: Callable[[Settings], Settings],
    ) -> None:
        self.setName("emailsys")
        self.settings = settings
        self.telemetry = telemetry
        #: Records connections, while it is configured or watched.
        self.wiretap = WireRecords(settings.wiretap)
        self._reactor = reactor
        self._opened = opened
        self._tls = tls
        self._certificates = CertificateWatch(
            reactor, tls, telemetry, lambda: certificates(self.settings), SentNotices(settings.state)
        )
        self._location = StoreLocation(settings)
        self._answers = ControlAnswers(self, settings.state, self._location, telemetry)
        self._store: Store | None = None
        self._hashing: HashingThreads | None = None
        self._login_limits: LoginLimits | None = None
        self._outbound: Outbound | None = None
        self._control: ControlListener | None = None
        #: Answers requests about the store; None while there is none.
        self.commands: Commands | None = None
        self._sessions: Sessions | None = None
        self._workers = DaemonWorkers(reactor, tls, telemetry, lambda: self.wiretap.is_on)
        self._web = Web(reactor, settings, tls, telemetry)
        # Answers requests while there is no store.
        self._placeholder = StorePlaceholder("")
        # Fires when the sessions that began without a store have ended.
        self._retiring: Deferred[None] | None = None
        self._srs_secret = b""
        self._watch = IntakeWatch(reactor, telemetry, self._look_for_store)
        self._began = 0.0
        self._mail_log = MailLogFile(settings.monitoring, telemetry)
        self._listening = Listening(settings.state, telemetry)
        self._pages = MonitoringPages(settings.monitoring, reactor, telemetry, lambda: self._watch.problem)
        self._reports = SystemdReports(reactor, Systemd(self.environ), lambda: self._watch.problem)
        #: Starts the process that takes over from this one.
        self.succession = Succession(telemetry, opened, settings.state, self._hand_over)
        self._hold = MoveHold(reactor, telemetry, self.succession, settings.source, lambda: self._outbound)
        self._reload = Reload(settings, telemetry, certificates, fit, self._configure)
        #: Creates the log observer of twistd; with None, twistd creates its own.
        self.open_log: Callable[[], LogObserver] | None = None
        #: The log, if its level can be changed.
        self.log: LogObserver | None = None

    @override
    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        if self.open_log is not None and isinstance(parent, Componentized):
            # twistd uses this component of the application unless --logger names another observer.
            self.log = self.open_log()
            parent.setComponent(ILogObserver, self.log)

    @override
    def startService(self) -> None:
        """Open the store and listen. If there is no store, answer with 451 until there is one (decision 0023).

        @raise StartupError: the store cannot be opened.
        """
        Service.startService(self)
        predecessor = self._opened.predecessor
        if predecessor is None:
            # twistd has forked after the lock was taken.
            self._opened.lock.write_pid()
        try:
            with private_files():
                store = self._open_store()
        except StoreMissing as missing:
            store, self._placeholder = None, StorePlaceholder(str(missing))
        except (StoreError, StartupError) as error:
            if predecessor is not None:
                predecessor.failed([str(error)])
            self._opened.release()
            raise StartupError(str(error), Exit.UNAVAILABLE) from None
        self._mail_log.reopen()
        self._began = self._reactor.seconds()
        self._listening.note(self._opened.listeners)
        if store is not None:
            self._serve(store)
        else:
            placeholder = self._placeholder
            portal = placeholder.portal(self.settings.hostname)
            others = {**self._pages.factories, **self._web.without_store()}
            self._sessions = self._listen(portal, placeholder, placeholder, others)
        if self._opened.control is not None:
            watch = partial(WatchStream, self.wiretap, self._reactor)
            factory = ControlFactory(self._answers, self.telemetry, watch=watch)
            self._control = ControlListener(self._opened.control, factory, self._reactor)
            self._control.start()
        self._certificates.start()
        # Operators send SIGHUP after they have renewed certificates.
        on_hang_up(self._hung_up)
        self.telemetry.event(
            "started",
            pid=os.getpid(),
            version=__version__,
            **{service: ",".join(shown) for service, shown in self._listening.addresses.items()},
        )
        self._watch.start()
        if self.succession.take_over(self._listening.write):
            self._reports.start()
        else:
            self._reactor.callWhenRunning(self._reactor.stop)

    def _open_store(self, create: bool = False, adopt: bool = False) -> Store:
        self._srs_secret = load_or_create_secret(self.settings.state / SRS_SECRET)
        is_first, takeover_after = self._opened.predecessor is None, self.settings.pop3.takeover_after
        opening = Opening(takeover_after, create=create, adopt=adopt, upgrade=is_first)
        return open_store(self.settings.store, self.settings.state, self._reactor, self.telemetry, opening)

    def _serve(self, store: Store) -> None:
        """Connect store and policy to the protocols, and start delivery of the queue."""
        settings, telemetry = self.settings, self.telemetry
        self._store = store
        self._outbound = outbound = Outbound(
            self._reactor, settings, store, telemetry, self._srs_secret, wiretap=self.wiretap
        )
        self._hashing = hashing = start_hashing(self._reactor, settings.login)
        renewal = Renewal(store.accounts, hashing, telemetry)
        self._login_limits = limits = LoginLimits(self._reactor, settings, store.known_networks, telemetry)
        limits.start()
        limits.share(store.notices, outbound.unknown)
        access = outbound.access
        logins, failed_logins, verified = self._opened.logins, limits.failed_logins, VerifiedLogins()
        access.passwords = logins.password_changes(store.accounts, hashing, telemetry)
        checked = failed_logins, verified, *self._opened.serve_plugins(store, telemetry)
        portal = build_portal(store.directory, store.maildrops, hashing, access, renewal, *checked)
        self._pages.serve(store, self._count_sessions, lambda: self._uptime)
        checks = self._opened.checks.serve(outbound.aliases, telemetry)
        now = partial(getattr, self, "settings")
        parts = (now, telemetry, store, access, hashing, failed_logins, self.wiretap, self._answers.answer)
        services = partial(web_services, *parts, self._count_sessions, lambda: self._uptime)
        others = {**self._pages.factories, **self._web.serve(portal, outbound.intake, store, services, checks)}
        self._workers.prepare(settings, store, failed_logins, verified, outbound)
        self._sessions = self._listen(portal, store.directory, outbound.intake, others)
        self._sessions.add_drained(self._web.servers)
        explain = explainer(settings, store, outbound.runner.failure, outbound.routes)
        turn, changed = partial(deferLater, self._reactor, 0), outbound.runner.lift_pauses
        hooks = Hooks(self.status, explain, changed, self._location.url, self.wiretap, self._web.link, turn)
        self.commands = Commands(store, telemetry, hooks)
        outbound.start()
        self._workers.start(self._certificates)
        self._certificates.mail_by(outbound.tell_postmaster)

    def _listen(
        self, portal: Portal, directory: IDirectory, intake: IIntake, others: Mapping[str, IProtocolFactory]
    ) -> Sessions:
        sessions = Sessions(
            self._reactor, self.settings, self._tls, self.telemetry, portal, directory, intake, self.wiretap
        )
        sessions.listen(self._opened.listeners, others, self._opened.checks, self._workers.pool)
        return sessions

    def _look_for_store(self, create: bool = False, adopt: bool = False) -> Store | str:
        """Serve the store if there is one. An operator may ask to create it, or to adopt another one than before.

        @return: the store, or why there is none.
        """
        sessions = self._sessions
        if self._store is not None or sessions is None:
            return self._store or self._placeholder.why
        try:
            store = self._open_store(create, adopt)
        except (StoreError, StartupError) as error:
            self._placeholder.why = str(error)
            return self._placeholder.why
        self._serve(store)
        # Sessions that began without a store cannot use this one.
        self._retiring = Deferred.fromCoroutine(sessions.retire())
        _ = self._retiring.addErrback(lambda failure: self.telemetry.exception("store-exception", failure))
        return store

    def find_store(self, create: bool, adopt: bool) -> str:
        """See `Operated.find_store`."""
        found = self._look_for_store(create, adopt)
        return found if isinstance(found, str) else ""

    async def check_store(self) -> None:
        """See `Operated.check_store`."""
        await self._watch.check()

    async def carry_out(self, request: ProcessRequest) -> Reloaded | Outcome | Held:
        """See `Operated.carry_out`."""
        if isinstance(request, ReloadRequest):
            return self.reload(request.check)
        if isinstance(request, MoveHoldRequest):
            return await self._hold.begin(request.seconds)
        return await self.succession.begin()

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
            await self._close_rest()
            self._opened.release()
            return
        if not (is_succeeded := self.succession.is_complete):
            self.succession.abandon()
            self._reports.stop()
        self.telemetry.event("stopping")
        forget_hang_ups(self._hung_up)
        self._certificates.stop()
        self._watch.stop()
        await sessions.stop_listening()
        close_all(self._opened.listeners)
        if self._control is not None:
            self._control.stop()
        if not is_succeeded:
            (self.settings.state / SOCKET_NAME).unlink(missing_ok=True)
        sent = None if self._outbound is None else Deferred.fromCoroutine(self._outbound.stop())
        may_finish = is_succeeded and not self.succession.is_urgent
        workers = Deferred.fromCoroutine(self._workers.stop(may_finish))
        left = await sessions.end(DRAIN_SECONDS, may_finish) + await workers
        await self._web.close()
        await self._close_rest(sent)
        self.telemetry.event("stopped", aborted=left)
        self._mail_log.close()
        if not is_succeeded:
            self._listening.remove()
        self._opened.release()

    async def _close_rest(self, sent: Deferred[None] | None = None) -> None:
        await self._opened.stop_plugins()
        if self._hashing is not None:
            self._hashing.stop()
        for ending in filter(None, (sent, self._retiring)):
            await ending
        if self._login_limits is not None:
            await self._login_limits.stop()
        if self._store is not None:
            await self._store.close()

    @property
    def _uptime(self) -> float:
        return self._reactor.seconds() - self._began  # type: ignore[no-any-return]

    def _count_sessions(self) -> dict[str, int]:
        return {} if self._sessions is None else self._sessions.count()

    def status(self) -> Mapping[str, Any]:
        """Return the status that the command `status` shows."""
        now = self._uptime, self._listening.addresses, self._count_sessions()
        runner = None if self._outbound is None else self._outbound.runner
        store = self._store, StoreCondition(self._location.shown, self._watch.problem, self._watch.is_untrusted)
        others = self._certificates.status(), self._workers.pool
        return describe_daemon(self.settings, self.telemetry, *now, runner, *store, *others)

    def reload(self, only_check: bool = False) -> Reloaded:
        """SIGHUP and `emailsys reload`: reopen the mail log, apply the configuration, read the certificates."""
        self._reports.reloading()
        outcome = self._reload.run(only_check, self._mail_log.reopen, self._certificates.reload)
        self._reports.ready()
        return outcome

    def _hung_up(self) -> None:
        self._reactor.callFromThread(self.reload)

    def _hand_over(self, successor: int) -> None:
        """End this process in order: the next command is for its successor. The answer to this one goes out first."""
        self._reports.stop(successor)
        if self._control is not None:
            self._control.stop()
        self._reactor.callLater(0, self._reactor.stop)

    def _configure(self, settings: Settings) -> None:
        """Put settings into force of which only live keys have changed."""
        self.settings = settings
        self._mail_log.settings = settings.monitoring
        self._mail_log.reopen()
        if self.log is not None:
            self.log.set_level(settings.monitoring.log_level.value)
        for part in (self._sessions, self._workers, self._outbound, self._login_limits):
            if part is not None:
                part.configure(settings)
        if self._store is not None:
            self._store.configure(settings.store)
