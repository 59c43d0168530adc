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
from emailsys.config.locations import NoHome, choose_state
from emailsys.platforms.users import is_root

if TYPE_CHECKING:
    from emailsys.daemon.service import Daemon

LOG_NAME: Final = "emailsys.log"
# twistd would write this file into the working directory. The lock file of the state folder contains the pid instead.
_TWISTD_PID_FILE: Final = "twistd.pid"


class Options(usage.Options):
    """The command line of `twistd emailsys`."""

    synopsis = "[--config FILE] [--state DIR]"
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

        from emailsys.daemon.reactor import MailReactor

        installReactor(MailReactor())
    else:
        from twisted.internet import reactor

        clock: Any = reactor
        clock.seconds = time.monotonic


def makeService(options: Mapping[str, Any]) -> IService:
    """Return the service that twistd runs. Errors are printed, one line each, and end the process."""
    twistd = getattr(options, "parent", None)
    background = twistd is not None and not twistd.get("nodaemon")
    daemon = service_or_exit(options["state"], options["config"], background)
    # Imported here, because twistd installs the reactor after it has read the options.
    from twisted.internet import reactor

    from emailsys.daemon.shutdown import end_once
    from emailsys.daemon.twistd_log import open_log

    end_once(reactor)
    if twistd is not None and not twistd.get("syslog"):
        daemon.open_log = partial(open_log, twistd.get("logfile"))
    return daemon


def service_or_exit(state: str | None, config: str | None, background: bool = False) -> Daemon:
    """Prepare the daemon. On an error, print the reason to stderr and exit with a status of sysexits.h.

    @param background: whether the process leaves the terminal before the service starts.
    @raise SystemExit: the daemon cannot start.
    """
    # Imported here, because these need a reactor, which twistd installs after it has read the options.
    from emailsys.daemon.startup import prepare
    from emailsys.supervisor import StartupError

    try:
        return prepare(state, config, background)
    except ConfigError as error:
        problems, status = error.problems, Exit.CONFIG
    except NoHome as error:
        problems, status = [str(error)], Exit.USAGE
    except StartupError as error:
        problems, status = [str(error)], error.status
    for problem in problems:
        print(f"emailsys: {problem}", file=sys.stderr)
    raise SystemExit(int(status))
