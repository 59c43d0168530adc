"""Twisted's asyncio reactor for the interactive programs: the full screen and the shell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit


class LateReactor:
    """The reactor on an event loop that the caller runs, installed and started when it is first asked for.

    The full screen shows its first picture without it, which takes a fifth less time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reactor: Any = None

    def __call__(self) -> Any:
        """Return the reactor.

        @raise Refused: this process already has another reactor.
        """
        if self._reactor is None:
            from twisted.internet import asyncioreactor, error

            try:
                asyncioreactor.install(self._loop)
            except error.ReactorAlreadyInstalledError:
                raise Refused(
                    "This process already has another Twisted reactor. Start a new one.", Exit.SOFTWARE
                ) from None
            from twisted.internet import reactor

            self._reactor = reactor
            # The interactive program handles Ctrl-C itself.
            self._reactor.startRunning(installSignalHandlers=False)
        return self._reactor

    def end(self) -> None:
        """Stop the reactor if it was started, and close the event loop, which must not run any more."""
        if self._reactor is not None:
            self._reactor.fireSystemEvent("shutdown")
            # The reactor joins its threads, then stops the loop.
            self._loop.run_forever()
        self._loop.close()


@contextmanager
def late_reactor_on(loop: asyncio.AbstractEventLoop) -> Iterator[LateReactor]:
    """Give a reactor on an event loop that the caller runs, and end both."""
    late = LateReactor(loop)
    try:
        yield late
    finally:
        late.end()


@contextmanager
def reactor_on(loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Install and start Twisted's reactor on an event loop that the caller runs.

    @raise Refused: this process already has another reactor.
    """
    with late_reactor_on(loop) as late:
        yield late()
