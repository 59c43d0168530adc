"""Composition of outbound delivery: routing, queue runner, resolver and connections, with graceful shutdown."""

from __future__ import annotations

import errno
import random
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from emailsys.config.settings import Settings
from emailsys.daemon.reception import Reception, ReceptionLimits, utc_now
from emailsys.delivery.clock import Timing
from emailsys.delivery.notice_cap import NoticeCap
from emailsys.delivery.outcomes import Bookkeeper
from emailsys.delivery.queue_runner import QueueRunner
from emailsys.delivery.relay import ClosedRelay, Relay, RelayByKind
from emailsys.delivery.sending_limits import SendingLimits
from emailsys.interfaces import IRelay
from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail.address import Address
from emailsys.mail.certificate_notice import compose
from emailsys.mail.envelope import Envelope, Recipient, own_parameters
from emailsys.mail.networks import Networks
from emailsys.net.dns.name_servers import NameServers, system_name_servers
from emailsys.net.dns.own_host import OwnHost
from emailsys.net.dns.resolver import Resolver
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.client import client_tls
from emailsys.policy.trusted_networks import exemption
from emailsys.policy.unknown_recipients import UnknownRecipients
from emailsys.store.open import Store
from emailsys.supervisor import expand
from emailsys.telemetry import Telemetry

if TYPE_CHECKING:
    from emailsys.delivery.pipes import PipeRelay
    from emailsys.net.outbound.webhook import WebhookRelay

# Seconds that connections get to send QUIT after the queue runner has stopped.
_GOODBYE: Final = 3.0


T = TypeVar("T")


def in_own_thread(reactor: Any, function: Callable[[], T]) -> Deferred[T]:
    """Return the result of a function that may block for long, and must not hold a thread that others need.

    Fails with OSError if the system has no thread for it.
    """
    done: Deferred[T] = Deferred()

    def run() -> None:
        try:
            result = function()
        except Exception:
            reactor.callFromThread(done.errback, Failure())
        else:
            reactor.callFromThread(done.callback, result)

    try:
        threading.Thread(target=run, name="emailsys command", daemon=True).start()
    except RuntimeError as error:
        # The limit of processes is reached, of a container for example.
        done.errback(OSError(errno.EAGAIN, str(error)))
    return done


class Outbound:
    """Outbound delivery.

    Sessions use `access` for policy and `intake` for the mail that they accept. `aliases` and `routes` explain routing
    to operators, `runner` has the state of the queue.

    @param srs_secret: the key that signs rewritten senders.
    @param wiretap: records connections while it is on.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        store: Store,
        telemetry: Telemetry,
        srs_secret: bytes,
        now: Callable[[], datetime] = utc_now,
        draw: Callable[[], float] = random.random,
        wiretap: IWiretap | None = None,
    ) -> None:
        self._name_servers: NameServers | None = None
        self._pool: ConnectionPool | None = None
        self._webhooks: WebhookRelay | None = None
        self._pipes: PipeRelay | None = None
        hostname, limits = settings.hostname, settings.limits
        trusted, timing = Networks(settings.routing.trusted_networks), Timing(reactor, now, draw)
        #: The limits that all processes of the daemon share.
        self.cap = NoticeCap(settings.queue.max_notices_per_hour, reactor, telemetry)
        self.sending = SendingLimits(settings.sending, store.sent_counts, trusted.network_of, timing, telemetry)
        self.unknown = UnknownRecipients(reactor, limits, exemption(trusted, limits.exempt_loopback))
        shared = ReceptionLimits(self.cap, self.sending, self.unknown)
        self._reception = reception = Reception(reactor, settings, store, srs_secret, shared, self._wake, now)
        self.aliases, self.routes = reception.aliases, reception.routes
        self.intake, self.access = reception.intake, reception.access
        self._router, self._hostname, self._store, self._now = reception.router, hostname, store, now
        relay = self._relay(reactor, settings, telemetry, wiretap) if settings.outbound.enabled else ClosedRelay()
        books = Bookkeeper(store.queue, reception.router, settings.queue, hostname, reception.writer)
        self.runner = QueueRunner(store.queue, relay, reception.router, books, settings.queue, timing, telemetry)
        self._telemetry = telemetry

    def _wake(self) -> None:
        self.runner.wake()

    def configure(self, settings: Settings) -> None:
        """Use the routes, the limits and the times of these settings from now on."""
        self._reception.configure(settings)
        self.cap.most = settings.queue.max_notices_per_hour
        self.sending.set_limits(settings.sending)
        self.unknown.set_limits(settings.limits)
        self.runner.configure(settings.queue)
        # A route may lead around the next hop that is paused.
        self.runner.lift_pauses()

    def _relay(self, reactor: Any, settings: Settings, telemetry: Telemetry, wiretap: IWiretap | None) -> IRelay:
        outbound, hostname = settings.outbound, settings.hostname
        self._name_servers = NameServers(reactor, outbound.nameservers or system_name_servers())
        own_host = OwnHost([hostname], expand(settings.smtp_listen.addresses, True), outbound.own_addresses)
        resolver = Resolver(reactor, self._name_servers, outbound, own_host, random.shuffle)
        self._pool = ConnectionPool(
            reactor,
            outbound,
            hostname,
            lambda expected: client_tls(expected, outbound.ca_file, outbound.session_tickets),
            telemetry,
            wiretap,
        )
        hosts = Relay(resolver, self._pool, outbound, telemetry)

        def make_webhooks() -> IRelay:
            # Imported here: few systems have a webhook, and the client for HTTP takes 0.1 s.
            from emailsys.net.outbound.webhook import WebhookRelay

            self._webhooks = WebhookRelay(reactor, outbound, telemetry, self._now)
            return self._webhooks

        def make_pipes() -> IRelay:
            from emailsys.delivery.pipes import PipeRelay
            from emailsys.platforms.commands import Command

            def spool() -> IO[bytes]:
                return tempfile.TemporaryFile(dir=settings.state)

            most = outbound.connections_per_host
            self._pipes = PipeRelay(reactor, Command, lambda run: in_own_thread(reactor, run), spool, most, telemetry)
            return self._pipes

        return RelayByKind(hosts, make_webhooks, make_pipes)

    def start(self) -> None:
        """Start delivery of the mail that is due, and continue the counts for the sending limits."""
        loaded = Deferred.fromCoroutine(self.sending.load())
        _ = loaded.addErrback(lambda failure: self._telemetry.exception("sending-limits-exception", failure))
        self.runner.startService()

    async def tell_postmaster(self, problems: Sequence[str]) -> bool:
        """Send a notice about certificates to the postmaster of the default domain; return whether there is one.

        @raise StoreError: it cannot be stored now.
        """
        path = Address("postmaster", "")
        routes = tuple(await self._router.resolve(path))
        if not routes:
            return False
        shown, made_at = Address("postmaster", self._hostname), self._now()
        octets = compose(self._hostname, problems, shown, f"{secrets.token_hex(8)}.certificate", made_at)
        incoming = self._store.intake.begin()
        await maybeDeferred(incoming.write, octets)
        await incoming.commit(Envelope(None, (Recipient(path, routes),), made_at, own_parameters(octets, shown)))
        self.runner.wake()
        return True

    async def stop(self) -> None:
        """Stop leasing, wait `queue.stop_grace` for deliveries in progress, release other leases, close connections."""
        await maybeDeferred(self.runner.stopService)
        await self.sending.stop()
        if self._pool is not None:
            await self._pool.close(_GOODBYE)
        if self._webhooks is not None:
            await self._webhooks.close()
        if self._pipes is not None:
            self._pipes.close()
        if self._name_servers is not None:
            self._name_servers.close()
