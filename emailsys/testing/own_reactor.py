"""Connections on a reactor that is not the process's: TLS that a command begins works there, too."""

from __future__ import annotations

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from typing_extensions import override

from emailsys.net.serving.connection import Connection, EventT
from emailsys.testing.reactor_thread import no_reactor_installed
from emailsys.upstream import gather_by


class OwnReactorConnection(Connection[EventT]):
    """A server connection whose TLS layer needs no reactor but its own.

    Twisted's layer would install the process's reactor, which need not run, and wait for it before it writes.
    """

    @override
    def start_tls(self, context_factory: IOpenSSLServerConnectionCreator) -> None:
        with no_reactor_installed():
            super().start_tls(context_factory)
        layer = getattr(self.transport, "protocol", None)
        if layer is not None and layer is not self:
            gather_by(layer, self.clock)
