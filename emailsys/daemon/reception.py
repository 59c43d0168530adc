"""Reception of mail from sessions: routing, access rules and the intake, in the daemon and in its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from emailsys.config.settings import Settings
from emailsys.delivery.acceptance import QueueingIntake, SenderLimits
from emailsys.delivery.notice_writer import InThread, NoticeLimit, NoticeWriter
from emailsys.mail.address import domain_key
from emailsys.mail.networks import Networks
from emailsys.mail.reply import MAILBOX_FULL, MAILBOX_FULL_NOW
from emailsys.policy.access import Access, RecipientGuesses
from emailsys.policy.expansion import AliasRouter
from emailsys.policy.next_hop import ForwardedSenders, QueueRouter, Routes
from emailsys.store.open import Store

T = TypeVar("T")


def utc_now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


def _threads_of(reactor: Any) -> InThread:
    def in_thread(function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    return in_thread


@dataclass(frozen=True, slots=True)
class ReceptionLimits:
    """The limits that all processes of a daemon share: for notices, for senders, and for guesses at recipients."""

    notices: NoticeLimit
    senders: SenderLimits
    guesses: RecipientGuesses


class Reception:
    """What a process needs to accept mail.

    Sessions use `access` for policy and `intake` for the mail that they accept. `router` leads mail to maildrops and
    next hops, by `aliases` and `routes`. `writer` composes notices.

    @param srs_secret: the key that signs rewritten senders.
    @param wake: called after a commit that added queue rows.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        store: Store,
        srs_secret: bytes,
        limits: ReceptionLimits,
        wake: Callable[[], None],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        routing, outbound, hostname = settings.routing, settings.outbound, settings.hostname
        restorer = ForwardedSenders(srs_secret, store.directory, now, routing.srs_domain)
        self.aliases = AliasRouter(store.directory, store.directory, outbound.own_addresses, restorer)
        self.routes = Routes(routing, outbound.tls, store.routes)
        # If rewriting is off, addresses that were rewritten earlier still work.
        self.router = QueueRouter(self.routes, self.aliases, restorer if routing.srs else None)
        self.writer = NoticeWriter(_threads_of(reactor), limits.notices)
        self.intake = QueueingIntake(
            store.intake, self.router, hostname, self.writer, wake, settings.queue.max_returned, limits.senders
        )
        self.access = Access(
            self.aliases,
            hostname,
            Networks(routing.trusted_networks),
            store.quotas,
            MAILBOX_FULL if settings.store.refuse_over_quota else MAILBOX_FULL_NOW,
            limits.guesses,
            forged_sender=settings.smtp.forged_sender,
            forged_from=settings.smtp.forged_from,
            relay_domains=frozenset(map(domain_key, routing.relay_domains)),
        )

    def configure(self, settings: Settings) -> None:
        """Use the routes and the rules of these settings from now on."""
        self.routes.configure(settings.routing, settings.outbound.tls)
        self.intake.max_returned = settings.queue.max_returned
        self.access.forged_sender, self.access.forged_from = settings.smtp.forged_sender, settings.smtp.forged_from
        if (passwords := self.access.passwords) is not None:
            passwords.min_length = settings.login.min_password_length
