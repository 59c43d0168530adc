"""Start, reload, status and shutdown of the running daemon, and the composition of its services and threads.

This module has what `twistd emailsys` calls: its options and the service that it runs.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import IService
from twisted.python import usage
from typing_extensions import override

from emailsys.config.exit_status import Exit
from emailsys.config.loader import ConfigError
from emailsys.config.locations import NoHome, choose_state, find_config, store_text
from emailsys.platforms.users import is_root

if TYPE_CHECKING:
    from emailsys.daemon.service import Daemon

LOG_NAME: Final = "emailsys.log"
# twistd would write this file into the working directory. The lock file of the state folder contains the pid instead.
_TWISTD_PID_FILE: Final = "twistd.pid"


class Options(usage.Options):
    """The command line of `twistd emailsys`."""

    synopsis = "[--config FILE] [--state DIR]"
    #: The pid file that a successor writes when it serves; "" without one.
    pid_file = ""
    longdesc = (
        "A mail system: SMTP, submission, POP3 and TLS over a durable store. Without a configuration file, it listens "
        "on loopback, on the ports 2525, 2587, 2465, 2110 and 2995. In the background, it logs to emailsys.log in the "
        "state folder."
    )
    optParameters = [
        [
            "config",
            "c",
            None,
            "Configuration. Default: the first of $EMAILSYS_CONFIG, /etc/emailsys/emailsys.toml, DIR/emailsys.toml.",
        ],
        [
            "state",
            "s",
            None,
            "State folder. Default: $EMAILSYS_STATE, /var/lib/emailsys (root), ~/.local/state/emailsys (others).",
        ],
    ]

    @override
    def postOptions(self) -> None:
        twistd = getattr(self, "parent", None)
        if twistd is None:
            return
        if twistd.get("pidfile") == _TWISTD_PID_FILE:
            twistd["pidfile"] = ""
        if not twistd.get("nodaemon") and not twistd.get("logfile") and not twistd.get("syslog"):
            try:
                folder = choose_state(self["state"], os.environ, is_root()).folder
            except NoHome as error:
                raise usage.UsageError(str(error)) from None
            twistd["logfile"] = str(folder / LOG_NAME)
        from emailsys.supervisor import SUCCESSION

        if SUCCESSION in os.environ:
            # The predecessor is in the background already, and its pid file names it until this process serves.
            self.pid_file, twistd["pidfile"], twistd["nodaemon"] = twistd.get("pidfile"), "", True
        # twistd installs its own reactor right after it has read the options, unless there is one already.
        install_reactor()


def install_reactor() -> None:
    """Install the reactor of the daemon, unless another was chosen with `twistd -r`.

    Without epoll, it is Twisted's default for the system, with the monotonic clock.
    """
    if "twisted.internet.reactor" in sys.modules:
        return
    if hasattr(select, "epoll"):
        from twisted.internet.main import installReactor

        from emailsys.net.serving.reactor import MailReactor

        installReactor(MailReactor())
    else:
        from twisted.internet import reactor

        clock: Any = reactor
        clock.seconds = time.monotonic


def makeService(options: Mapping[str, Any]) -> IService:
    """Return the service.

    For `twistd emailsys`, errors are printed, one line each, and end the process, whose signals the service handles.
    In a program of your own, where the options have no parent, errors are raised, and the process stays yours.

    @raise ConfigError: the configuration is wrong.
    @raise StartupError: a port or the state folder is in use, for example.
    """
    twistd = getattr(options, "parent", None)
    if twistd is None:
        from emailsys.daemon.embedding import EmbeddedDaemon

        return EmbeddedDaemon(options["state"], options["config"])
    daemon = service_or_exit(options["state"], options["config"], not twistd.get("nodaemon"))
    # Imported here, because twistd installs the reactor after it has read the options.
    from twisted.internet import reactor

    from emailsys.daemon.shutdown import end_once
    from emailsys.daemon.twistd_log import open_log

    end_once(reactor)
    daemon.succession.twistd = twistd
    daemon.succession.pid_file = getattr(options, "pid_file", "")
    if not twistd.get("syslog"):
        daemon.open_log = partial(open_log, twistd.get("logfile"), daemon.settings.monitoring)
    return daemon


def reload_at_hang_up() -> None:
    """Let SIGHUP reload each mail system that runs in this process, as it does for `twistd emailsys`."""
    from emailsys.daemon.shutdown import handle_hang_ups

    handle_hang_ups()


def service_or_exit(state: str | None, config: str | None, background: bool = False) -> Daemon:
    """Prepare the daemon of this process. On an error, print the reason to stderr and exit with a status of sysexits.h.

    @param background: whether the process leaves the terminal before the service starts.
    @raise SystemExit: the daemon cannot start.
    """
    # Imported here, because these need a reactor, which twistd installs after it has read the options.
    from emailsys.config.monitoring_settings import MonitoringSettings
    from emailsys.daemon.log_output import say, settings_of_faulty
    from emailsys.daemon.own_process import OwnProcess
    from emailsys.daemon.preload import load_dialects
    from emailsys.daemon.shutdown import note_hang_ups
    from emailsys.daemon.startup import prepare_with, read_configuration
    from emailsys.supervisor import Predecessor, StartupError

    # SIGHUP may come while a store is upgraded, which can take minutes. `startService` acts on it.
    note_hang_ups()
    # Only this user may read the files that the process creates.
    os.umask(0o077)
    predecessor = Predecessor.of(os.environ)
    monitoring = MonitoringSettings()
    if predecessor is not None and predecessor.is_held:
        load_dialects()
        if not predecessor.wait():
            raise SystemExit(int(Exit.OK))
    try:
        choice, settings = read_configuration(state, config)
        monitoring = settings.monitoring
        daemon = prepare_with(choice, settings, background, predecessor, OwnProcess)
        told = store_text(choice, settings.store.url)
        if told is not None:
            say(monitoring, told)
        return daemon
    except ConfigError as error:
        folder = choose_state(state, os.environ, is_root()).folder
        monitoring = settings_of_faulty(find_config(config, os.environ, folder))
        problems, status = error.problems, Exit.CONFIG
    except NoHome as error:
        problems, status = [str(error)], Exit.USAGE
    except StartupError as error:
        problems, status = [str(error)], error.status
    for problem in problems:
        say(monitoring, problem, "critical")
    if predecessor is not None:
        predecessor.failed(problems)
    raise SystemExit(int(status))
