"""The daemon that uses a store while it is moved: it prepares for the last step, and then uses the other store."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emailsys.cli.administer import by_daemon, result_of
from emailsys.cli.options import Places, Refused
from emailsys.config.exit_status import Exit
from emailsys.control.daemon_requests import MoveHold, Restart
from emailsys.supervisor import holder_of

# Seconds that the daemon stays prepared, and to wait for it: it waits for deliveries, and starts a process.
_HOLD_SECONDS: Final = 120.0
_ANSWER_SECONDS: Final = 150.0
# Seconds of the former that an answer may take on its way, and the last commit.
_MARGIN_SECONDS: Final = 20.0
_STOP_FIRST: Final = "Stop the daemon, and move then"


@dataclass(frozen=True, slots=True)
class Served:
    """Which process uses the other store.

    @ivar pid: the process; None if no daemon runs.
    @ivar problem: why none does, although a daemon runs.
    """

    pid: int | None = None
    problem: str | None = None


class RunningDaemon:
    """The daemon of a state folder, if one runs."""

    def __init__(self, where: Places) -> None:
        self._where = where
        self.is_running = holder_of(where.folder) is not None

    @contextmanager
    def prepared(self, config: Path | None) -> Iterator[float]:
        """Let the daemon prepare. If what follows fails, the daemon goes on as before.

        Yields until when the daemon certainly delivers no mail, by the monotonic clock.

        @param config: the file in which its store will be replaced.
        @raise Refused: the daemon cannot prepare, or reads another file.
        """
        if not self.is_running:
            yield math.inf
            return
        try:
            answer = self._ask(MoveHold(_HOLD_SECONDS))
            if answer["problem"] is not None:
                raise Refused(f"{answer['problem']}. {_STOP_FIRST}", Exit.UNAVAILABLE)
            found = answer["config"]
            if config is None or found is None or os.path.realpath(found) != os.fspath(config):
                raise Refused(f"the daemon reads another configuration: {found}. Name it with --config", Exit.CONFIG)
            yield time.monotonic() + _HOLD_SECONDS - _MARGIN_SECONDS
        except BaseException:
            with suppress(Refused):
                self._ask(MoveHold(0.0))
            raise

    def take_over(self) -> Served:
        """Let a process serve that reads the configuration now."""
        if not self.is_running:
            return Served()
        try:
            outcome = self._ask(Restart())
        except Refused as error:
            return Served(problem=error.message)
        return Served(outcome["pid"], outcome["problem"])

    def _ask(self, request: MoveHold | Restart) -> Any:
        answer = by_daemon(self._where, request, _ANSWER_SECONDS)
        if answer is None:
            raise Refused("the daemon ended in the meantime", Exit.UNAVAILABLE)
        return result_of(answer)
