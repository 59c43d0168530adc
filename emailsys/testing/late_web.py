"""The HTTP port of `emailsys catch`, whose web face is imported at the first connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from emailsys.config.settings import Settings, WebSettings
from emailsys.mail.address import Address
from emailsys.net.serving.admission import Admission
from emailsys.testing.acceptance import Acceptance
from emailsys.testing.server import HOSTNAME
from emailsys.testing.storing_server import StoringServer

if TYPE_CHECKING:
    from emailsys.control.requests import Request
    from emailsys.interfaces.operators import Actor
    from emailsys.web.application import WebFace
    from emailsys.web.base.services import Services


class LateWeb(Factory):
    """Factory for the HTTP port that imports and builds the web face at the first connection.

    A mail server that is started for each test run should not pay for pages that are never opened.
    """

    noisy = False

    def __init__(self, reactor: Any, server: StoringServer, host: str, port: int, names: Sequence[str] = ()) -> None:
        """@param names: further names by which browsers may open it."""
        self._reactor, self._server = reactor, server
        self._settings = Settings(
            HOSTNAME, Path(), web=WebSettings(listen=((host, port),), hosts=tuple(name.lower() for name in names))
        )
        self._face: WebFace | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Return the protocol of a connection."""
        if self._face is None:
            self._face = self._build()
        factory: Any = self._face.server.factory
        protocol: Protocol | None = factory.buildProtocol(addr)
        return protocol

    def _build(self) -> WebFace:
        from emailsys.testing.http_api import CatchAPI
        from emailsys.web.application import build

        kept, telemetry = self._server.keeping, self._server.telemetry
        face = build(
            self._reactor,
            self._settings,
            telemetry,
            kept.portal,
            kept.store.directory,
            kept.intake,
            kept.store,
            Admission(),
            self._services(),
        )
        CatchAPI(self._reactor, self._server).add_to(face)
        return face

    def _services(self) -> Services:
        """Return the services of the API. Any token fits; one that is an address opens the mail for that address."""
        from emailsys.interfaces.operators import Scope, TokenRow
        from emailsys.web.base.services import Services
        from emailsys.wiretap.recorder import Recorder
        from emailsys.wiretap.recording import MIN_OCTETS

        kept = self._server.keeping
        scopes = frozenset(scope for scope in Scope if scope.is_of_accounts)

        async def ask(request: Request, actor: Actor | None) -> Mapping[str, Any]:
            return {"error": {"kind": "refused", "message": "emailsys catch has no operators"}}

        async def make_credentials(password: str, address: Address) -> Sequence[tuple[str, str]]:
            return ()

        async def check_token(text: str, ip: str) -> TokenRow:
            account = await kept.boxes.of_login(text.encode("utf-8", "replace"))
            return TokenRow(
                text[:16],
                account.account_id,
                kept.boxes.address_of(account),
                True,
                scopes,
                "",
                datetime.now(UTC),
                None,
            )

        async def sample() -> Mapping[str, Any]:
            return {}

        return Services(
            ask=ask,
            make_credentials=make_credentials,
            check_token=check_token,
            delivery_of=lambda account: Acceptance(kept.boxes, account),
            sample=sample,
            foretell=lambda seconds: (),
            wire=Recorder(1, MIN_OCTETS, enabled=False),
        )

    async def close(self) -> None:
        """End all connections, and finish what the pages have promised."""
        if self._face is not None:
            for channel in tuple(self._face.server.sessions):
                channel.abort()
            await self._face.close()
