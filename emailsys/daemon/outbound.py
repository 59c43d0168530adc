"""Composition of outbound delivery: routing, queue runner, resolver and connections, with graceful shutdown."""

from __future__ import annotations

import errno
import random
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from emailsys.config.settings import Settings
from emailsys.delivery.acceptance import QueueingIntake
from emailsys.delivery.clock import Timing
from emailsys.delivery.notice_cap import NoticeCap
from emailsys.delivery.notice_writer import InThread, NoticeWriter
from emailsys.delivery.outcomes import Bookkeeper
from emailsys.delivery.queue_runner import QueueRunner
from emailsys.delivery.relay import ClosedRelay, Relay, RelayByKind
from emailsys.delivery.sending_limits import SendingLimits
from emailsys.interfaces import IRelay
from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail.address import Address, domain_key
from emailsys.mail.certificate_notice import compose
from emailsys.mail.envelope import Envelope, Recipient, own_parameters
from emailsys.mail.networks import Networks
from emailsys.mail.reply import MAILBOX_FULL, MAILBOX_FULL_NOW
from emailsys.net.dns.name_servers import NameServers, system_name_servers
from emailsys.net.dns.own_host import OwnHost
from emailsys.net.dns.resolver import Resolver
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.client import client_tls
from emailsys.policy.access import Access
from emailsys.policy.expansion import AliasRouter
from emailsys.policy.next_hop import ForwardedSenders, QueueRouter, Routes
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


def _threads_of(reactor: Any) -> InThread:
    def in_thread(function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    return in_thread


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


def utc_now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


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
        routing, outbound, hostname = settings.routing, settings.outbound, settings.hostname
        restorer = ForwardedSenders(srs_secret, store.directory, now, routing.srs_domain)
        self.aliases = AliasRouter(store.directory, store.directory, outbound.own_addresses, restorer)
        self.routes = Routes(routing, outbound.tls, store.routes)
        # If rewriting is off, addresses that were rewritten earlier still work.
        router = QueueRouter(self.routes, self.aliases, restorer if routing.srs else None)
        self._router, self._hostname, self._store, self._now = router, hostname, store, now
        relay = self._relay(reactor, settings, telemetry, wiretap) if outbound.enabled else ClosedRelay()
        cap = NoticeCap(settings.queue.max_notices_per_hour, reactor, telemetry)
        writer = NoticeWriter(_threads_of(reactor), cap)
        self._cap = cap
        books = Bookkeeper(store.queue, router, settings.queue, hostname, writer)
        timing = Timing(reactor, now, draw)
        self.runner = QueueRunner(store.queue, relay, router, books, settings.queue, timing, telemetry)
        full = MAILBOX_FULL if settings.store.refuse_over_quota else MAILBOX_FULL_NOW
        trusted = Networks(routing.trusted_networks)
        self._telemetry = telemetry
        self._sending = SendingLimits(settings.sending, store.sent_counts, trusted.network_of, timing, telemetry)
        self.intake = QueueingIntake(
            store.intake, router, hostname, writer, self.runner.wake, settings.queue.max_returned, self._sending
        )
        limits = settings.limits
        self._unknown = unknown = UnknownRecipients(reactor, limits, exemption(trusted, limits.exempt_loopback))
        smtp = settings.smtp
        self.access = Access(
            self.aliases,
            hostname,
            trusted,
            store.quotas,
            full,
            unknown,
            forged_sender=smtp.forged_sender,
            forged_from=smtp.forged_from,
            relay_domains=frozenset(map(domain_key, routing.relay_domains)),
        )

    def configure(self, settings: Settings) -> None:
        """Use the routes, the limits and the times of these settings from now on."""
        self.routes.configure(settings.routing, settings.outbound.tls)
        self._cap.most = settings.queue.max_notices_per_hour
        self.intake.max_returned = settings.queue.max_returned
        self._sending.set_limits(settings.sending)
        self._unknown.set_limits(settings.limits)
        self.access.forged_sender, self.access.forged_from = settings.smtp.forged_sender, settings.smtp.forged_from
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
        loaded = Deferred.fromCoroutine(self._sending.load())
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
        await self._sending.stop()
        if self._pool is not None:
            await self._pool.close(_GOODBYE)
        if self._webhooks is not None:
            await self._webhooks.close()
        if self._pipes is not None:
            self._pipes.close()
        if self._name_servers is not None:
            self._name_servers.close()
