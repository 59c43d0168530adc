"""SMTP and POP3 servers of the daemon: factories, listening ports and graceful shutdown of sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.cred.portal import Portal
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from emailsys.config.settings import Settings
from emailsys.daemon.checks import DaemonChecks
from emailsys.daemon.pop3 import configure_pop3, pop3_factory
from emailsys.daemon.session_endings import Drainable, SessionEndings
from emailsys.daemon.smtp import ask_checks, configure_smtp, smtp_factory
from emailsys.interfaces import IDirectory, IIntake
from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail.networks import Networks
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind
from emailsys.net.tls.server import ServerTLS
from emailsys.net.tls.tapped import ImplicitTLS
from emailsys.policy.login_check import StoredSecrets
from emailsys.policy.trusted_networks import exemption
from emailsys.supervisor import Bound
from emailsys.telemetry import Telemetry

# Seconds in which sessions that began without a store get 421 and are closed.
_RETIRE_SECONDS: Final = 2.0


if TYPE_CHECKING:
    from emailsys.daemon.worker_connections import Acceptor
    from emailsys.daemon.worker_pool import Workers


class Sessions:
    """The SMTP and POP3 servers of the daemon.

    @param reactor: with time and sockets.
    @param portal: authenticates users.
    @param wiretap: records connections while it is on.
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
        wiretap: IWiretap | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._tls = tls
        self._ports: list[IListeningPort | Acceptor] = []
        self._workers: Workers | None = None
        environment = ServiceEnvironment(
            portal=portal,
            clock=reactor,
            telemetry=telemetry,
            hostname=settings.hostname,
            context_factory=tls,
            handshake_timeout=settings.tls.handshake_timeout,
            secrets=StoredSecrets(directory),
            wiretap=wiretap,
        )
        trusted = Networks(settings.routing.trusted_networks)
        self._is_exempt = exemption(trusted, settings.limits.exempt_loopback)

        def smtp(kind: Kind, max_connections: int) -> ESMTPServerFactory:
            admission = self._admission(max_connections, settings.smtp.max_connections_per_ip)
            return smtp_factory(environment, settings, kind, intake, admission)

        self._pop3 = pop3 = pop3_factory(
            environment, settings, self._admission(settings.pop3.max_connections, settings.pop3.max_connections_per_ip)
        )
        # A flood on one port takes no connections from the others.
        self._receive = receive = smtp(Kind.RECEIVE, settings.smtp.max_connections)
        self._submission = submission = smtp(Kind.SUBMISSION, settings.smtp.max_submission_connections)
        self._servers: dict[str, ESMTPServerFactory | POP3ServerFactory] = {
            "smtp": receive,
            "submission": submission,
            "submissions": submission,
            "pop3": pop3,
            "pop3s": pop3,
        }
        self._endings = SessionEndings(reactor, dict(self._servers))

    def add_drained(self, servers: Mapping[str, Drainable]) -> None:
        """Count and end the sessions of other servers, by service, too."""
        self._endings.factories |= servers

    def configure(self, settings: Settings) -> None:
        """Use these settings for connections that begin from now on."""
        smtp, pop3 = settings.smtp, settings.pop3
        for factory in (self._receive, self._submission):
            configure_smtp(factory, settings)
        configure_pop3(self._pop3, settings)
        self._receive.service.admission.limit(smtp.max_connections, smtp.max_connections_per_ip)
        self._submission.service.admission.limit(smtp.max_submission_connections, smtp.max_connections_per_ip)
        self._pop3.service.admission.limit(pop3.max_connections, pop3.max_connections_per_ip)

    def _admission(self, most: int, most_from_address: int) -> Admission:
        return Admission(most, most_from_address, self._is_exempt)

    def listen(
        self,
        listeners: Iterable[Bound],
        others: Mapping[str, IProtocolFactory],
        checks: DaemonChecks | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Accept connections. The listening sockets stay open.

        @param others: factories of services that are not mail protocols. A service without a factory is skipped.
        @param checks: those that the SMTP sessions ask.
        @param workers: serve the connections of their services, if there are any.
        """
        self._workers = workers
        if checks is not None:
            ask_checks((self._receive, self._submission), checks.services)
        for bound in listeners:
            factory = self._port_factory(bound.service) if bound.service in self._servers else others.get(bound.service)
            if factory is not None and workers is not None and bound.service in workers.services:
                self._ports.append(workers.listen(bound, factory, self._servers[bound.service].service.admission))
            elif factory is not None:
                # The port duplicates the descriptor.
                port = self._reactor.adoptStreamPort(bound.socket.fileno(), bound.socket.family, factory)
                self._ports.append(port)

    def _port_factory(self, service: str) -> IProtocolFactory:
        """Return the factory for a port, with TLS from the first octet if the service requires it."""
        factory: Any = self._servers[service]
        if service in ("submissions", "pop3s"):
            factory = TLSMemoryBIOFactory(ImplicitTLS(self._tls), False, factory, self._reactor)
        port_factory: IProtocolFactory = factory
        return port_factory

    def count(self) -> dict[str, int]:
        """Return the number of sessions of each service."""
        counts, workers = self._endings.count(), self._workers
        if workers is None:
            return counts
        return {name: count + workers.connections_of(name) for name, count in counts.items()}

    async def stop_listening(self) -> None:
        """Stop accepting connections."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def retire(self) -> None:
        """Stop listening and end the sessions with 421. Other servers listen on the sockets already."""
        await self.stop_listening()
        await self.end(_RETIRE_SECONDS)

    async def end(self, patience: float, is_succeeded: bool = False) -> int:
        """End the sessions, as `SessionEndings.end` does; return how many were interrupted."""
        return await self._endings.end(patience, is_succeeded)
