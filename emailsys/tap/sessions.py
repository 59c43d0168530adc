"""The protocol servers over one portal: their factories, their listening ports, and the end of their sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from twisted.cred.portal import Portal
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory

from emailsys.config.settings import POP3Settings, Settings, SMTPSettings
from emailsys.interfaces import IDirectory, IIntake
from emailsys.mail.ip import is_loopback
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.admission import Admission
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.net.tls.server import ServerTLS
from emailsys.policy.login import StoredSecrets
from emailsys.policy.trusted_networks import TrustedNetworks
from emailsys.supervisor import Bound
from emailsys.telemetry import Telemetry

_DRAIN_POLL: Final = 0.05
# Seconds in which sessions that began without a store hear 421 and go.
_RETIRE_SECONDS: Final = 2.0


class Drainable(Protocol):
    """A factory whose sessions can be ended."""

    sessions: Any

    def drain(self) -> int:
        """End the sessions that do nothing now; returns how many are left."""


class Sessions:
    """The SMTP and POP3 servers of the daemon.

    @param reactor: with time and sockets.
    @param portal: who may log in, and what then.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        tls: ServerTLS,
        telemetry: Telemetry,
        portal: Portal,
        directory: IDirectory,
        intake: IIntake,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._tls = tls
        self._ports: list[IListeningPort] = []
        secrets = StoredSecrets(directory)
        smtp_admission = self._admission(settings.smtp)

        def smtp(kind: Kind) -> ESMTPServerFactory:
            return ESMTPServerFactory(
                SMTPService(
                    kind=kind,
                    portal=portal,
                    intake=intake,
                    settings=settings.smtp,
                    clock=reactor,
                    telemetry=telemetry,
                    hostname=settings.hostname,
                    context_factory=tls,
                    handshake_timeout=settings.tls.handshake_timeout,
                    admission=smtp_admission,
                    secrets=secrets,
                )
            )

        pop3 = POP3ServerFactory(
            POP3Service(
                portal=portal,
                settings=settings.pop3,
                clock=reactor,
                telemetry=telemetry,
                hostname=settings.hostname,
                context_factory=tls,
                handshake_timeout=settings.tls.handshake_timeout,
                expire_days=settings.store.maildrop_days,
                admission=self._admission(settings.pop3),
                secrets=secrets,
            )
        )
        receive, submission = smtp(Kind.RECEIVE), smtp(Kind.SUBMISSION)
        self._factories: dict[str, Drainable] = {
            "smtp": receive,
            "submission": submission,
            "submissions": submission,
            "pop3": pop3,
            "pop3s": pop3,
        }

    def _admission(self, limits: SMTPSettings | POP3Settings) -> Admission:
        trusted = TrustedNetworks(self._settings.routing.trusted_networks)
        return Admission(
            limits.max_connections, limits.max_connections_per_ip, lambda ip: is_loopback(ip) or ip in trusted
        )

    def listen(self, listeners: Iterable[Bound], others: Mapping[str, IProtocolFactory]) -> None:
        """Accept connections on sockets that stay open themselves.

        @param others: the factories of services that are no mail protocol; a service without a factory is left out.
        """
        for bound in listeners:
            factory = self._outward(bound.service) if bound.service in self._factories else others.get(bound.service)
            if factory is not None:
                # The port has a descriptor of its own, a copy.
                port = self._reactor.adoptStreamPort(bound.socket.fileno(), bound.socket.family, factory)
                self._ports.append(port)

    def _outward(self, service: str) -> IProtocolFactory:
        """The factory as the port has it: with TLS from the first octet where the service asks for that."""
        factory: Any = self._factories[service]
        if service in ("submissions", "pop3s"):
            factory = TLSMemoryBIOFactory(self._tls, False, factory, self._reactor)
        outward: IProtocolFactory = factory
        return outward

    def count(self) -> dict[str, int]:
        """How many sessions each service has."""
        return {name: len(factory.sessions) for name, factory in self._factories.items()}

    async def stop_listening(self) -> None:
        """Accept no more connections."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def retire(self) -> None:
        """Give the sockets up to others that listen on them already, and end what came by them: it is told 421."""
        await self.stop_listening()
        await self.end(_RETIRE_SECONDS)

    async def end(self, patience: float) -> int:
        """End what is idle with a farewell, the others after so many seconds; returns how many were cut off."""
        factories = tuple(dict.fromkeys(self._factories.values()))
        deadline = self._reactor.seconds() + patience
        while (left := sum(factory.drain() for factory in factories)) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _DRAIN_POLL)
        for factory in factories:
            for session in tuple(factory.sessions):
                session.abort()
        return left
