"""The daemon in a process of its own, as twistd and the command `serve` run it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from twisted.internet.defer import Deferred
from typing_extensions import override

from emailsys.daemon.garbage import freeze_startup_objects
from emailsys.daemon.log_output import say
from emailsys.daemon.service import Daemon
from emailsys.daemon.shutdown import handle_hang_ups, ignore_hang_ups
from emailsys.supervisor import StartupError


class OwnProcess(Daemon):
    """A daemon that may change what belongs to the whole process: signal handlers, garbage collection, its end."""

    environ: ClassVar[Mapping[str, str]] = os.environ

    @override
    def startService(self) -> None:
        """Start, and handle SIGHUP from then on.

        @raise SystemExit: the store cannot be opened. The reason is printed to stderr.
        """
        try:
            super().startService()
        except StartupError as error:
            # stderr is the terminal with `serve`, and the log with twistd.
            say(self.settings.monitoring, str(error), "critical")
            raise SystemExit(int(error.status)) from None
        handle_hang_ups()
        freeze_startup_objects()

    @override
    def stopService(self) -> Deferred[None]:
        stopped = super().stopService()
        # Python would end the process by a SIGHUP that comes after its own handlers are gone.
        ignore_hang_ups()
        return stopped
