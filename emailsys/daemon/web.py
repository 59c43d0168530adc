"""The web face as a part of the daemon, if it is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from twisted.cred.portal import Portal
from twisted.internet.interfaces import IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from emailsys.config.settings import Settings
from emailsys.interfaces import IChecks, IIntake
from emailsys.mail.address import Address
from emailsys.mail.networks import Networks
from emailsys.net.serving.admission import Admission
from emailsys.net.tls.server import ServerTLS
from emailsys.policy.trusted_networks import exemption
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

if TYPE_CHECKING:
    from emailsys.web.application import WebFace
    from emailsys.web.base.http import WebServer
    from emailsys.web.base.services import Services

# Its modules are imported where they are used: a system without it needs neither their memory nor their time.


def preload_web(settings: Settings) -> None:
    """Import the web face if it is configured. After the privileges are dropped, its files might not be readable."""
    if settings.web.listen:
        from emailsys.web.application import preload

        preload()
        import_module("emailsys.web.base.unavailable")


class Web:
    """The web face of a daemon. Without addresses to listen on, it imports and does nothing."""

    def __init__(self, reactor: Any, settings: Settings, tls: ServerTLS, telemetry: Telemetry) -> None:
        self._reactor, self._settings, self._tls, self._telemetry = reactor, settings, tls, telemetry
        self._face: WebFace | None = None

    def without_store(self) -> Mapping[str, IProtocolFactory]:
        """Return factories that answer every request with 503: browsers must not wait until there is a store."""
        if not self._settings.web.listen:
            return {}
        from emailsys.web.base.unavailable import unavailable_site

        clear: Any = unavailable_site(self._reactor)
        return {"http": clear, "https": TLSMemoryBIOFactory(self._tls, False, clear, self._reactor)}

    def serve(
        self,
        portal: Portal,
        intake: IIntake,
        store: Store,
        services: Callable[[], Services],
        checks: IChecks | None,
    ) -> Mapping[str, IProtocolFactory]:
        """Build the web face, and return the factories of its services: `http` in the clear, and `https`.

        @param services: returns those for the API. Not called if there is no web face.
        @param checks: those of the submission ports; None if there are none.
        """
        settings, web = self._settings, self._settings.web
        if not web.listen:
            return {}
        from emailsys.web.application import build

        is_exempt = exemption(Networks(settings.routing.trusted_networks), settings.limits.exempt_loopback)
        admission = Admission(web.max_connections, web.max_connections_per_ip, is_exempt)
        parts = self._telemetry, portal, store.directory, intake, store, admission, services()
        self._face = build(self._reactor, settings, *parts, checks)
        clear: Any = self._face.server.factory
        secure: Any = TLSMemoryBIOFactory(self._tls, False, clear, self._reactor)
        return {"http": clear, "https": secure}

    @property
    def servers(self) -> Mapping[str, WebServer]:
        """The server whose connections end with the daemon, by service."""
        return {} if self._face is None else dict.fromkeys(("http", "https"), self._face.server)

    @property
    def link(self) -> Callable[[Address | None], str] | None:
        """Makes a link that logs in once, an operator or to the mail of an account. None without a web face."""
        face = self._face
        if face is None:
            return None
        return lambda name: face.operators.make_link() if name is None else face.face.sessions.make_link(str(name))

    async def close(self) -> None:
        """Finish what the pages have promised. The store is still open."""
        if self._face is not None:
            await self._face.close()
