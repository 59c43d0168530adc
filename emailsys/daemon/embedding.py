"""The daemon as one service among others, in a program that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from typing_extensions import override

from emailsys.config.exit_status import Exit
from emailsys.config.loader import ConfigError
from emailsys.config.locations import NoHome
from emailsys.daemon.startup import prepare
from emailsys.supervisor import StartupError

if TYPE_CHECKING:
    from emailsys.daemon.service import Daemon

# A second process of that program would do all that it does, not only mail.
_NEVER: Final = "the mail system is part of another program: restart that program"


class EmbeddedDaemon(Service):
    """The mail system as a service. It can be started again after it has stopped.

    It changes nothing that belongs to the whole process: neither signal handlers nor the umask nor garbage collection.
    No other process takes over from it, and no service manager is told about it.
    """

    def __init__(self, state: str | None = None, config: str | None = None) -> None:
        """Read the configuration, and open the state folder and the ports.

        @param state: the state folder, as for --state.
        @param config: the configuration file, as for --config.
        @raise ConfigError: the configuration is wrong.
        @raise StartupError: a port or the state folder is in use, for example.
        """
        self.setName("emailsys")
        self._options = (state, config)
        #: The daemon that runs, or that the next start will run; None after a stop.
        self.daemon: Daemon | None = self._prepared()

    def _prepared(self) -> Daemon:
        try:
            daemon = prepare(*self._options)
            daemon.succession.why_never = _NEVER
            return daemon
        except NoHome as error:
            raise ConfigError([str(error)]) from None
        except StartupError as error:
            if error.status is Exit.CONFIG:
                raise ConfigError([str(error)]) from None
            raise

    @override
    def startService(self) -> None:
        """Open the store and listen. After a stop, the configuration is read and the ports are opened again.

        @raise ConfigError: the configuration is wrong now.
        @raise StartupError: the store cannot be opened, or what `__init__` opens.
        """
        daemon = self.daemon or self._prepared()
        self.daemon = None
        try:
            daemon.startService()
        except BaseException:
            # After a fault of ours, too, the lock and the ports are free for the next start.
            _ = daemon.stopService()
            raise
        self.daemon = daemon
        super().startService()

    @override
    def stopService(self) -> Deferred[None] | None:
        """Stop as the daemon does. The Deferred fires when all is closed; only then can it be started again."""
        _ = super().stopService()
        daemon, self.daemon = self.daemon, None
        return None if daemon is None else daemon.stopService()
