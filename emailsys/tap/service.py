"""The daemon as a service: store, policy and protocols joined, listening; and how all of it ends in order."""

from __future__ import annotations

import gc
import os
import signal
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
from emailsys.interfaces import IDirectory, IIntake, StoreError, StoreMissing
from emailsys.net.tls.server import ServerTLS
from emailsys.ops.commands import MALFORMED, MISSING, Answer, Commands, error_answer
from emailsys.ops.control import SOCKET_NAME, ControlFactory, ControlListener
from emailsys.ops.request_reading import read_request
from emailsys.ops.request_values import MalformedRequest
from emailsys.ops.requests import DomainAdd, Init, Request, Status
from emailsys.ops.store_access import Hooks
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.hashing_threads import HashingThreads
from emailsys.policy.login import build_portal
from emailsys.policy.password_change import PasswordChanges
from emailsys.policy.password_renewal import Renewal
from emailsys.policy.trusted_networks import TrustedNetworks, exemption
from emailsys.store.open import DATABASE_NAME, Opening, Store, open_store
from emailsys.supervisor import Bound, FolderLock, StartupError, close_all
from emailsys.tap.absence import Absence
from emailsys.tap.certificates import CertificateWatch
from emailsys.tap.listening import Listening
from emailsys.tap.mail_log import MailLogFile
from emailsys.tap.outbound import Outbound
from emailsys.tap.route_explanation import explainer
from emailsys.tap.secrets import SRS_SECRET, kept_secret
from emailsys.tap.sessions import Sessions
from emailsys.tap.status import StoreCondition, describe_daemon
from emailsys.tap.told_notices import ToldNotices
from emailsys.tap.unapplied_settings import SettingsWatch
from emailsys.telemetry import Telemetry

# Seconds that sessions get to finish what they do when the daemon is asked to end; systemd waits 90 before it kills.
DRAIN_SECONDS: Final = 10.0
# Seconds between two looks whether mail can be taken, and at least between two lines of the log that tell why not.
WATCH_EVERY: Final = 2.0
TELL_EVERY: Final = 600.0
# Allocations between two looks for garbage in cycles; Python's own 700 are a message or two.
_COLLECT_EVERY: Final = 10_000

# What an operator does about files of the store that were removed or replaced under the daemon.
_UNTRUSTED: Final = (
    "The daemon reads and writes nothing there, and accepts no mail. Put the original file back, or stop the daemon, "
    "restore a backup and start it again"
)


@dataclass(frozen=True, slots=True)
class Held:
    """What was opened before privileges were dropped."""

    lock: FolderLock
    listeners: tuple[Bound, ...]
    # None where the system has no Unix sockets.
    control: socket.socket | None

    def release(self) -> None:
        """Close all of it and give the folder up. Does nothing the second time."""
        close_all(self.listeners)
        if self.control is not None:
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
        self._certificates = CertificateWatch(reactor, tls, telemetry, certificates, ToldNotices(settings.state))
        self._store: Store | None = None
        self._hashing: HashingThreads | None = None
        self._outbound: Outbound | None = None
        self._control: ControlListener | None = None
        self._commands: Commands | None = None
        self._sessions: Sessions | None = None
        #: What answers in the store's place while there is none.
        self._absence = Absence("")
        # The end of the sessions that began without a store.
        self._retiring: Deferred[None] | None = None
        self._srs_secret = b""
        self._watching = LoopingCall(lambda: Deferred.fromCoroutine(self._watch()).addErrback(self._log_exception))
        self._watching.clock = reactor
        # Why no mail is accepted, None if it is; why the files of the store cannot be trusted; when it was last logged.
        self._problem: str | None = None
        self._untrusted: str | None = None
        self._told_at = 0.0
        self._began = 0.0
        self._mail_log = MailLogFile(settings.monitoring, telemetry)
        self._listening = Listening(settings.state, telemetry)
        self._settings_watch = SettingsWatch(settings, telemetry)
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
        """Serve the store; where there is none, say so to all who come, until there is (decision 0023).

        @raise SystemExit: the store cannot be opened; why is told on standard error.
        """
        Service.startService(self)
        # twistd has forked since the lock was taken.
        self._held.lock.write_pid()
        try:
            store = self._open_store()
        except StoreMissing as missing:
            store, self._absence = None, Absence(str(missing))
        except (StoreError, StartupError) as error:
            # Standard error is the terminal in `serve`, and the log under twistd.
            print(f"emailsys: {error}", file=sys.stderr)
            self._held.release()
            raise SystemExit(int(Exit.UNAVAILABLE)) from None
        self._mail_log.reopen()
        self._began = self._reactor.seconds()
        self._listening.write(self._held.listeners)
        if store is not None:
            self._serve(store)
        else:
            absence = self._absence
            self._sessions = self._listen(absence.portal(self.settings.hostname), absence, absence, {})
        if self._held.control is not None:
            self._control = ControlListener(self._held.control, ControlFactory(self, self.telemetry), self._reactor)
            self._control.start()
        self._certificates.start()
        # An operator who renewed certificates does not want to wait for a day.
        if sys.platform != "win32" and hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.hang_up))
        self.telemetry.event(
            "started",
            pid=os.getpid(),
            version=__version__,
            **{service: ",".join(shown) for service, shown in self._listening.addresses.items()},
        )
        _ = self._watching.start(WATCH_EVERY)
        _spare_what_stays()

    def _open_store(self, create: bool = False, adopt: bool = False) -> Store:
        self._srs_secret = kept_secret(self.settings.state / SRS_SECRET)
        opening = Opening(takeover_after=self.settings.pop3.takeover_after, create=create, adopt=adopt)
        return open_store(self.settings.store, self.settings.state, self._reactor, self.telemetry, opening)

    def _serve(self, store: Store) -> None:
        """Join store and policy with the protocols, and begin with what waits in the queue."""
        settings, telemetry = self.settings, self.telemetry
        self._store = store
        self._outbound = outbound = Outbound(self._reactor, settings, store, telemetry, self._srs_secret)
        # A pool of its own: the reactor's may be busy with name look-ups, and a login would wait behind them.
        threads = ThreadPool(0, settings.login.hashing_threads, "hashing")
        self._hashing = hashing = HashingThreads(self._reactor, threads, settings.login.max_waiting)
        hashing.start()
        renewal = Renewal(store.accounts, hashing, telemetry)
        trusted = TrustedNetworks(settings.routing.trusted_networks)
        is_exempt = exemption(trusted, settings.limits.exempt_loopback)
        failed_logins = FailedLogins(self._reactor, settings.limits, settings.login, is_exempt)
        passwords = PasswordChanges(store.accounts, hashing, telemetry, settings.login.min_password_length)
        access = replace(outbound.access, passwords=passwords)
        portal = build_portal(store.directory, store.maildrops, hashing, access, renewal, failed_logins)
        others = {"metrics": self._metrics_site(store)} if "metrics" in self._listening.addresses else {}
        self._sessions = self._listen(portal, store.directory, outbound.intake, others)
        close_all(self._held.listeners)
        explain = explainer(settings, store, outbound.runner.failure)
        hooks = Hooks(self.status, explain, outbound.runner.lift_pauses, self._shown_store)
        self._commands = Commands(store, telemetry, hooks)
        outbound.start()
        self._certificates.mail_by(outbound.tell_postmaster)

    def _listen(
        self, portal: Portal, directory: IDirectory, intake: IIntake, others: Mapping[str, IProtocolFactory]
    ) -> Sessions:
        sessions = Sessions(self._reactor, self.settings, self._tls, self.telemetry, portal, directory, intake)
        sessions.listen(self._held.listeners, others)
        return sessions

    @property
    def _where(self) -> str:
        """The store, as an operator knows it."""
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
            self._absence.why = str(error)
            return
        self._serve(store)
        # Sessions that began without a store never hear of this one.
        self._retiring = Deferred.fromCoroutine(sessions.retire())
        _ = self._retiring.addErrback(self._log_exception)

    def _log_exception(self, failure: Failure) -> None:
        self.telemetry.exception("store", failure)

    async def _watch(self) -> None:
        """Check whether mail can be accepted. Log a problem at once, then every TELL_EVERY seconds."""
        self._look_for_store()
        problem: str | None = None
        self._untrusted = None if self._store is None else self._store.database.why_untrusted()
        if self._store is None:
            problem = self._absence.why
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
        elif before is None or self._reactor.seconds() - self._told_at >= TELL_EVERY:
            self._told_at = self._reactor.seconds()
            self.telemetry.alarm("intake-suspended", why=problem)

    async def answer(self, request: object) -> Answer:
        """What the control socket answers: `init`, and with a store `Commands.answer`; without, `status`."""
        try:
            known = request if isinstance(request, Request) else read_request(request)
        except MalformedRequest as error:
            return self._with_store(error_answer(MALFORMED, str(error)))
        was_missing = self._store is None
        adopt = isinstance(known, Init) and known.adopt
        self._look_for_store(create=isinstance(known, Init | DomainAdd) and not adopt, adopt=adopt)
        if isinstance(known, Status):
            await self._watch()
        if self._commands is not None:
            if isinstance(known, Init):
                opened = {"made": was_missing and not adopt, "adopted": was_missing and adopt}
                return {"result": {"store": self._where, **opened}}
            return await self._commands.answer(known)
        if isinstance(known, Status):
            return self._with_store({"result": self.status()})
        return self._with_store(error_answer(MISSING, self._absence.why))

    def _with_store(self, answer: Answer) -> Answer:
        return answer if self._shown_store is None else {**answer, "store": self._shown_store}

    @override
    def stopService(self) -> Deferred[None]:
        """Stop listening, end what is idle, let the others finish for a while, close the store.

        Sessions have DRAIN_SECONDS, deliveries to other hosts `queue.stop_grace`.
        """
        Service.stopService(self)
        stopped = Deferred.fromCoroutine(self._stop())
        _ = stopped.addErrback(lambda failure: self.telemetry.exception("stop", failure))
        return stopped

    async def _stop(self) -> None:
        sessions, self._sessions = self._sessions, None
        if sessions is None:
            self._held.release()
            return
        self.telemetry.event("stopping")
        if sys.platform != "win32" and hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
        self._certificates.stop()
        if self._watching.running:
            self._watching.stop()
        await sessions.stop_listening()
        close_all(self._held.listeners)
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
        if self._store is not None:
            await self._store.close()
        self.telemetry.event("stopped", aborted=left)
        self._mail_log.close()
        self._listening.remove()
        self._held.release()

    def _metrics_site(self, store: Store) -> IProtocolFactory:
        # Imported here, because it takes 10 MB that a system without it does not need.
        from emailsys.ops.metrics import Sources, metrics_site

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
                self.telemetry.exception("reload", Failure())


def _spare_what_stays() -> None:
    """Let the garbage collector leave alone what was made for starting: it lives as long as the process.

    To look through all of it, as every full collection would, held up each session for some 20 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)
