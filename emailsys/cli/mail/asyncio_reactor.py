"""Twisted's reactor on asyncio's event loop, as the interactive programs need it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit


@contextmanager
def reactor_on(loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Twisted's reactor on an event loop that somebody else runs.

    @raise Refused: another reactor is installed in this process already.
    """
    from twisted.internet import asyncioreactor, error

    try:
        asyncioreactor.install(loop)
    except error.ReactorAlreadyInstalledError:
        raise Refused("another reactor runs in this process", Exit.SOFTWARE) from None
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    # Ctrl-C belongs to the program on the screen.
    reactor.startRunning(installSignalHandlers=False)
    try:
        yield reactor
    finally:
        reactor.fireSystemEvent("shutdown")
        # Its threads end, then it stops the loop.
        loop.run_forever()
        loop.close()
