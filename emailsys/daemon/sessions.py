"""SMTP and POP3 servers of the daemon: factories, listening ports and graceful shutdown of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.cred.portal import Portal
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory

from emailsys.config.settings import Settings
from emailsys.interfaces import IDirectory, IIntake
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.net.tls.server import ServerTLS
from emailsys.policy.login_check import StoredSecrets
from emailsys.policy.trusted_networks import TrustedNetworks, exemption
from emailsys.supervisor import Bound
from emailsys.telemetry import Telemetry

_DRAIN_POLL: Final = 0.05
# Seconds in which clients whose message is interrupted can read the 421.
_LAST_REPLY_SECONDS: Final = 2.0
# Seconds in which sessions that began without a store get 421 and are closed.
_RETIRE_SECONDS: Final = 2.0


class Drainable(Protocol):
    """A factory whose sessions can be ended."""

    sessions: Any

    def drain(self) -> int:
        """Close idle sessions; return how many sessions are left."""

    def interrupt(self) -> int:
        """Close sessions that receive a message, too; return how many sessions are left."""


class Sessions:
    """The SMTP and POP3 servers of the daemon.

    @param reactor: with time and sockets.
    @param portal: authenticates users.
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
        environment = ServiceEnvironment(
            portal=portal,
            clock=reactor,
            telemetry=telemetry,
            hostname=settings.hostname,
            context_factory=tls,
            handshake_timeout=settings.tls.handshake_timeout,
            secrets=StoredSecrets(directory),
        )
        trusted = TrustedNetworks(settings.routing.trusted_networks)
        self._is_exempt = exemption(trusted, settings.limits.exempt_loopback)

        def smtp(kind: Kind, max_connections: int) -> ESMTPServerFactory:
            return ESMTPServerFactory(
                SMTPService(
                    environment=environment,
                    kind=kind,
                    intake=intake,
                    settings=settings.smtp,
                    admission=self._admission(max_connections, settings.smtp.max_connections_per_ip),
                    is_trusted=trusted.__contains__,
                )
            )

        pop3 = POP3ServerFactory(
            POP3Service(
                environment=environment,
                settings=settings.pop3,
                expire_days=settings.store.maildrop_days,
                admission=self._admission(settings.pop3.max_connections, settings.pop3.max_connections_per_ip),
            )
        )
        # A flood on one port takes no connections from the others.
        receive = smtp(Kind.RECEIVE, settings.smtp.max_connections)
        submission = smtp(Kind.SUBMISSION, settings.smtp.max_submission_connections)
        self._factories: dict[str, Drainable] = {
            "smtp": receive,
            "submission": submission,
            "submissions": submission,
            "pop3": pop3,
            "pop3s": pop3,
        }

    def _admission(self, most: int, most_from_address: int) -> Admission:
        return Admission(most, most_from_address, self._is_exempt)

    def listen(self, listeners: Iterable[Bound], others: Mapping[str, IProtocolFactory]) -> None:
        """Accept connections. The listening sockets stay open.

        @param others: factories of services that are not mail protocols. A service without a factory is skipped.
        """
        for bound in listeners:
            factory = (
                self._port_factory(bound.service) if bound.service in self._factories else others.get(bound.service)
            )
            if factory is not None:
                # The port duplicates the descriptor.
                port = self._reactor.adoptStreamPort(bound.socket.fileno(), bound.socket.family, factory)
                self._ports.append(port)

    def _port_factory(self, service: str) -> IProtocolFactory:
        """Return the factory for a port, with TLS from the first octet if the service requires it."""
        factory: Any = self._factories[service]
        if service in ("submissions", "pop3s"):
            factory = TLSMemoryBIOFactory(self._tls, False, factory, self._reactor)
        port_factory: IProtocolFactory = factory
        return port_factory

    def count(self) -> dict[str, int]:
        """Return the number of sessions of each service."""
        return {name: len(factory.sessions) for name, factory in self._factories.items()}

    async def stop_listening(self) -> None:
        """Stop accepting connections."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def retire(self) -> None:
        """Stop listening and end the sessions with 421. Other servers listen on the sockets already."""
        await self.stop_listening()
        await self.end(_RETIRE_SECONDS)

    async def end(self, patience: float) -> int:
        """Close idle sessions with 421 or -ERR, and the others after `patience` seconds; return how many.

        A message under way gets 421, too. What is still left two seconds later is aborted.
        """
        factories = tuple(dict.fromkeys(self._factories.values()))
        left = await self._until_ended([factory.drain for factory in factories], patience)
        if left:
            _ = await self._until_ended([factory.interrupt for factory in factories], _LAST_REPLY_SECONDS)
        for factory in factories:
            for session in tuple(factory.sessions):
                session.connection.abort()
        return left

    async def _until_ended(self, steps: Sequence[Callable[[], int]], patience: float) -> int:
        """Repeat the steps until no session is left, for `patience` seconds; return how many are left."""
        deadline = self._reactor.seconds() + patience
        while (left := sum(step() for step in steps)) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _DRAIN_POLL)
        return left
