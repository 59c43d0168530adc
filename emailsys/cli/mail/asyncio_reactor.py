"""Twisted's asyncio reactor for the interactive programs: the full screen and the shell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit


@contextmanager
def reactor_on(loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Install and start Twisted's reactor on an event loop that the caller runs.

    @raise Refused: this process already has another reactor.
    """
    from twisted.internet import asyncioreactor, error

    try:
        asyncioreactor.install(loop)
    except error.ReactorAlreadyInstalledError:
        raise Refused("This process already has another Twisted reactor. Start a new one.", Exit.SOFTWARE) from None
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    # The interactive program handles Ctrl-C itself.
    reactor.startRunning(installSignalHandlers=False)
    try:
        yield reactor
    finally:
        reactor.fireSystemEvent("shutdown")
        # The reactor joins its threads, then stops the loop.
        loop.run_forever()
        loop.close()
