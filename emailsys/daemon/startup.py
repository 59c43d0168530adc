"""Startup of the daemon: settings, state folder, lock, limits, certificates, sockets and user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from emailsys import supervisor
from emailsys.config.exit_status import Exit
from emailsys.config.loader import load
from emailsys.config.locations import StateChoice, choose_state, find_config
from emailsys.config.monitoring_settings import LogFormat
from emailsys.config.settings import CertificateFiles, Settings
from emailsys.control.control_socket import HAS_CONTROL, NO_CONTROL, bind_control
from emailsys.daemon.checks import load_plugins
from emailsys.daemon.log_output import say
from emailsys.daemon.logins import load_logins
from emailsys.daemon.mailboxes import load_mailboxes
from emailsys.daemon.preload import load_before_dropping
from emailsys.daemon.resources import OpenedResources
from emailsys.daemon.service import Daemon
from emailsys.daemon.web import preload_web
from emailsys.interfaces import StoreError, StoreMissing
from emailsys.net.tls.server import ServerTLS, TLSConfigError
from emailsys.platforms.files import private_files
from emailsys.platforms.packages import pip_install
from emailsys.platforms.users import Identity, acting_as, is_root, raise_descriptor_limit
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry, json_line, plain_line

CERTIFICATES_FOLDER: Final = "certs"
# Open files besides connections: the store and its readers, listeners, logs, name servers, the control socket.
_DESCRIPTORS_BESIDE: Final = 256
# Descriptors to have where the hard limit allows it: one a session, and some for the store.
_WANTED_DESCRIPTORS: Final = 65536


def read_configuration(state: str | None, config: str | None) -> tuple[StateChoice, Settings]:
    """Find the state folder and read the configuration that the command line options name.

    @raise ConfigError: the configuration is wrong.
    @raise NoHome: there is no default for the state folder.
    """
    choice = choose_state(state, os.environ, is_root())
    path = find_config(config, os.environ, choice.folder)
    return choice, load(path, choice.folder, supervisor.check_configuration)


def prepare(state: str | None, config: str | None, background: bool = False) -> Daemon:
    """Create the daemon from its command line options, as `prepare_with` does.

    @raise ConfigError: the configuration is wrong.
    @raise StartupError: the daemon cannot start.
    """
    return prepare_with(*read_configuration(state, config), background)


def prepare_with(
    choice: StateChoice,
    settings: Settings,
    background: bool = False,
    predecessor: supervisor.Predecessor | None = None,
    kind: type[Daemon] = Daemon,
) -> Daemon:
    """Create the daemon.

    This runs in the process that the operator started, so that errors reach the terminal. twistd goes into the
    background later. Low ports and private keys are opened first; then privileges are dropped permanently. Before
    that, root works in the state folder only with the rights of the user, who may have planted links there.

    @param background: also check that the store can be opened; the service opens it after it has left the terminal.
    @param predecessor: the daemon that this one succeeds, whose lock and sockets it inherits.
    @param kind: the class of the daemon.
    @raise StartupError: the daemon cannot start.
    """
    with private_files():
        return _prepared(choice, settings, background, predecessor, kind)


def _prepared(
    choice: StateChoice,
    settings: Settings,
    background: bool,
    predecessor: supervisor.Predecessor | None,
    kind: type[Daemon],
) -> Daemon:
    from twisted.internet import reactor

    with _naming(settings.source):
        if settings.monitoring.metrics_listen and find_spec("prometheus_client") is None:
            raise StartupError(
                f"monitoring.metrics_listen: requires prometheus-client: {pip_install('prometheus-client')}",
                Exit.CONFIG,
            )
        identity = supervisor.find_identity(settings.user, settings.group)
        supervisor.check_user(settings, identity)
    supervisor.make_state_folder(choice.folder)
    supervisor.give_state_folder(identity, choice.folder)
    load_before_dropping(identity)
    preload_web(settings)
    with acting_as(identity):
        take = supervisor.FolderLock.take if predecessor is None else predecessor.lock
        lock = take(choice.folder)
    try:
        fit = partial(fit_connection_limits, descriptors=raise_descriptor_limit(_WANTED_DESCRIPTORS))
        settings = fit(settings)
        with _naming(settings.source):
            tls = server_tls(settings, identity)
            services = [name for name, _ in supervisor.listens_of(settings)]
            activated = supervisor.activated_listeners(os.environ, services)
            listeners = supervisor.bind_all(settings, activated, () if predecessor is None else predecessor.listeners)
            settings = supervisor.with_ports(settings, listeners)
        try:
            with acting_as(identity):
                inherited = None if predecessor is None else predecessor.control
                control = inherited or (bind_control(choice.folder) if HAS_CONTROL else None)
        except OSError as error:
            supervisor.close_all(listeners)
            raise StartupError(f"control socket in {choice.folder}: {error.strerror}", Exit.CANNOT_CREATE) from None
        try:
            supervisor.drop_privileges(identity, choice.folder)
            with _naming(settings.source):
                checks = load_plugins(settings.checks, settings.hostname, choice.folder, reactor)
                logins = load_logins(settings.login, settings.hostname, reactor)
                mailboxes = load_mailboxes(settings.pop3, settings.hostname, reactor)
            if background:
                check_store(settings)
        except BaseException:
            supervisor.close_all(listeners)
            if control is not None:
                control.close()
            raise
    except BaseException:
        # Also after a fault of ours: the program around the mail system goes on, and may try again.
        lock.release()
        raise
    if control is None:
        say(settings.monitoring, NO_CONTROL)
    opened = OpenedResources(lock, tuple(listeners), control, predecessor, checks, logins, mailboxes)
    line = json_line if settings.monitoring.log_format is LogFormat.JSON else plain_line
    return kind(reactor, settings, opened, tls, Telemetry(line=line), certificates_of, fit)


@contextmanager
def _naming(source: Path | None) -> Iterator[None]:
    """Add the name of the configuration file to an error that begins with a key path, as the loader does."""
    try:
        yield
    except StartupError as error:
        raise StartupError(f"{source or 'embedded default'}: {error}", error.status) from None


def fit_connection_limits(settings: Settings, descriptors: int) -> Settings:
    """Return the settings with connection limits that fit into the limit of open files; print a line if they shrink.

    At that limit, the daemon could neither accept and refuse connections nor open files of the store.
    """
    reserve = _DESCRIPTORS_BESIDE + settings.queue.max_deliveries + settings.outbound.idle_connections
    room = max(descriptors - reserve, descriptors // 2)
    wanted = (
        settings.smtp.max_connections,
        settings.smtp.max_submission_connections,
        settings.pop3.max_connections,
    )
    if sum(wanted) <= room:
        return settings
    smtp, submission, pop3 = (most * room // sum(wanted) for most in wanted)
    say(
        settings.monitoring,
        f"the limit of open files is {descriptors}: at most {smtp} SMTP, {submission} submission and {pop3} "
        "POP3 connections",
    )
    return replace(
        settings,
        smtp=replace(settings.smtp, max_connections=smtp, max_submission_connections=submission),
        pop3=replace(settings.pop3, max_connections=pop3),
    )


def check_store(settings: Settings) -> None:
    """Open and upgrade the store, then close it, because its threads would not survive twistd's fork.

    @raise StartupError: the store cannot be opened.
    """

    async def nothing(store: Store) -> None:
        """Opening the store is the check."""

    try:
        run_offline(settings.store, settings.state, nothing, Telemetry())
    except StoreMissing as missing:
        # The daemon starts without a store and answers 451 until there is one.
        say(settings.monitoring, str(missing))
    except StoreError as error:
        raise StartupError(str(error), Exit.UNAVAILABLE) from None


def server_tls(settings: Settings, identity: Identity | None) -> ServerTLS:
    """Load the certificates of the settings as root, or those of the development CA in the state folder as the user.

    What is wrong with some of them is printed to stderr.

    @raise StartupError: none of them can be served.
    """
    try:
        with acting_as(None if settings.tls.certificates else identity):
            tls = ServerTLS(certificates_of(settings))
    except TLSConfigError as error:
        raise StartupError(f"tls.certificates: {error}", Exit.CONFIG) from None
    for problem in (*tls.refused, *tls.invalid(), *tls.concerns()):
        say(settings.monitoring, f"tls.certificates: {problem}", "warn")
    return tls


def certificates_of(settings: Settings) -> tuple[CertificateFiles, ...]:
    """Return the certificate files. Those of the development CA are created or renewed if necessary.

    @raise StartupError: they cannot be created.
    """
    if settings.tls.certificates:
        return settings.tls.certificates
    # Imported here, because a system with its own certificates does not need it.
    from emailsys.pki import PKIError, ensure_development_ca

    try:
        made = ensure_development_ca(development_folder(settings.state), (settings.hostname,))
    except PKIError as error:
        raise StartupError(str(error), Exit.CONFIG) from None
    return tuple(CertificateFiles(files.chain, files.key) for files in made.certificates)


def development_folder(state: Path) -> Path:
    """Return the folder of the development CA."""
    return state / CERTIFICATES_FOLDER
