"""Relay: sends one message to the hosts of a next hop in turn, until each recipient has an outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IConnectionPool, IRelay, IResolver
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import DELAYED, DELIVERED, Outcome, OutcomeKind, Transmission, kind_of
from emailsys.telemetry import Telemetry

# RFC 3463 §3.6: too many recipients.
_TOO_MANY: Final = "4.5.3"
# RFC 3463 §3.5: no answer from host.
_NO_CONNECTION: Final = "4.4.1"
# RFC 3463 §3.4: system incorrectly configured.
_MISCONFIGURED: Final = "4.3.5"
# RFC 4954 §6: the host requires a login, a stronger one, or TLS.
_OF_LOGIN: Final = frozenset({530, 534, 538})


def _too_many(outcome: Outcome) -> bool:
    """Return whether the host requires another transaction for this recipient (RFC 5321 §4.5.3.1.10)."""
    reply = outcome.reply
    if not outcome.from_remote or outcome.kind is not DELAYED:
        return False
    return (reply.code == 452 and reply.enhanced in ("", _TOO_MANY)) or reply.code == 552


def _of_route(outcome: Outcome) -> Outcome:
    """Return the outcome at a host that a route names. If the host refuses this system, the mail is delayed.

    It is sent when an operator has corrected the route or the host.
    """
    reply = outcome.reply
    if outcome.kind is OutcomeKind.FAILED and (outcome.host_at_fault or reply.code in _OF_LOGIN):
        words = f"{reply.code} {reply.enhanced}".rstrip() + f" {reply.text}"
        said = Reply(
            451, _MISCONFIGURED, f"{outcome.remote}, the host of a route, refuses mail from this system: {words}"
        )
        outcome = dataclasses.replace(outcome, kind=DELAYED, reply=said, from_remote=False)
        return dataclasses.replace(outcome, host_at_fault=True, route_at_fault=True)
    if outcome.kind is DELAYED and outcome.host_at_fault:
        return dataclasses.replace(outcome, route_at_fault=True)
    return outcome


def _tells_more(outcome: Outcome, before: Outcome | None) -> bool:
    """Return whether a later outcome replaces an earlier one in the report.

    A reply about the recipient ranks first, then a failure of a host, then a host that could not be reached.
    """
    if before is None or not outcome.host_at_fault:
        return True
    return before.host_at_fault and before.reply.enhanced == _NO_CONNECTION


@implementer(IRelay)
class ClosedRelay:
    """Relay while outbound mail is switched off: all mail is delayed."""

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        return [Outcome(DELAYED, replies.OUTBOUND_OFF)] * len(transmission.recipients)

    def idle(self, next_hop: NextHop) -> None:
        """Do nothing, because there are no connections."""

    def shut_down(self, grace: float) -> None:
        """Do nothing, because nothing is under way."""


@implementer(IRelay)
class RelayByKind:
    """Relay that passes each transmission to the one for its kind of next hop."""

    def __init__(self, hosts: IRelay, make_webhooks: Callable[[], IRelay], make_pipes: Callable[[], IRelay]) -> None:
        """@param make_webhooks: makes the relay to webhooks. Called once, when the first message for one is sent.
        @param make_pipes: the same for commands.
        """
        self._hosts = hosts
        self._make_webhooks = make_webhooks
        self._make_pipes = make_pipes
        self._webhooks: IRelay | None = None
        self._pipes: IRelay | None = None
        self._is_shut_down = False

    def _for(self, next_hop: NextHop) -> IRelay:
        if next_hop.webhook is not None:
            if self._webhooks is None:
                self._webhooks = self._made(self._make_webhooks)
            return self._webhooks
        if next_hop.pipe is not None:
            if self._pipes is None:
                self._pipes = self._made(self._make_pipes)
            return self._pipes
        return self._hosts

    def _made(self, make: Callable[[], IRelay]) -> IRelay:
        relay = make()
        if self._is_shut_down:
            relay.shut_down(0.0)
        return relay

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        return await self._for(next_hop).relay(next_hop, transmission)

    def idle(self, next_hop: NextHop) -> None:
        self._for(next_hop).idle(next_hop)

    def shut_down(self, grace: float) -> None:
        self._is_shut_down = True
        self._hosts.shut_down(grace)
        for relay in (self._webhooks, self._pipes):
            if relay is not None:
                relay.shut_down(grace)


class _Attempt:
    """One message, with the outcomes of its recipients so far."""

    def __init__(self, transmission: Transmission) -> None:
        self._transmission = transmission
        self.outcomes: list[Outcome | None] = [None] * len(transmission.recipients)
        #: Indices of the recipients for the next host.
        self.left = list(range(len(transmission.recipients)))

    def part(self) -> Transmission:
        """Return the transmission for the recipients that are left."""
        if len(self.left) == len(self._transmission.recipients):
            return self._transmission
        recipients = tuple(self._transmission.recipients[index] for index in self.left)
        return dataclasses.replace(self._transmission, recipients=recipients)

    def note(self, outcomes: Sequence[Outcome]) -> bool:
        """Note the outcomes of the recipients that are left.

        Returns whether the host accepted some of them and requires another transaction for the rest.
        """
        asked, some, too_many = self.left, False, []
        self.left = []
        for index, outcome in zip(asked, outcomes, strict=True):
            some = some or outcome.kind is DELIVERED
            if _tells_more(outcome, self.outcomes[index]):
                self.outcomes[index] = outcome
            if _too_many(outcome):
                too_many.append(index)
            if outcome.may_try_elsewhere:
                self.left.append(index)
        if some and too_many:
            self.left = too_many
            return True
        return False


@implementer(IRelay)
class Relay:
    """Relay over a resolver and a connection pool."""

    def __init__(
        self, resolver: IResolver, pool: IConnectionPool, settings: OutboundSettings, telemetry: Telemetry
    ) -> None:
        self._resolver = resolver
        self._pool = pool
        self._hosts_per_attempt = settings.hosts_per_attempt
        self._telemetry = telemetry
        self._winding_up = False
        self._lookups: set[Deferred[Sequence[Host] | Reply]] = set()

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        attempt = _Attempt(transmission)
        try:
            await self._try_hosts(next_hop, attempt)
        except CancelledError:
            raise
        except Exception:
            self._telemetry.exception("outbound-exception", Failure(), queue_id=transmission.queue_id)
        return [Outcome(DELAYED, replies.LOCAL_ERROR) if outcome is None else outcome for outcome in attempt.outcomes]

    def idle(self, next_hop: NextHop) -> None:
        self._pool.idle(next_hop)

    def shut_down(self, grace: float) -> None:
        self._winding_up = True
        self._pool.shut_down(grace)
        for lookup in tuple(self._lookups):
            lookup.cancel()

    async def _try_hosts(self, next_hop: NextHop, attempt: _Attempt) -> None:
        connected = self._pool.connected(next_hop)
        if connected is not None:
            await self._send(next_hop, connected, attempt)
            if not attempt.left:
                return
        found = await self._hosts(next_hop)
        if isinstance(found, Reply):
            attempt.note([self._nowhere(next_hop, found)] * len(attempt.left))
            return
        hosts = [host for host in found if host != connected][: self._hosts_per_attempt]
        for host in hosts:
            await self._send(next_hop, host, attempt)
            if not attempt.left:
                return

    async def _hosts(self, next_hop: NextHop) -> Sequence[Host] | Reply:
        if self._winding_up:
            return replies.BROKEN_OFF
        lookup = Deferred.fromCoroutine(self._resolver.hosts(next_hop))
        self._lookups.add(lookup)
        try:
            return await lookup
        except CancelledError:
            if not self._winding_up:
                raise
            return replies.BROKEN_OFF
        finally:
            self._lookups.discard(lookup)

    async def _send(self, next_hop: NextHop, host: Host, attempt: _Attempt) -> None:
        """Send to one host. Use further transactions while it accepts some recipients and the rest are too many."""
        while attempt.left:
            outcomes = await self._pool.send(next_hop, host, attempt.part())
            if next_hop.by_route:
                outcomes = [_of_route(outcome) for outcome in outcomes]
            if not attempt.note(outcomes):
                return

    def _nowhere(self, next_hop: NextHop, reply: Reply) -> Outcome:
        """Return the outcome if the next hop has no host."""
        delayed = kind_of(reply) is DELAYED
        return Outcome(
            kind_of(reply),
            reply,
            host_at_fault=delayed,
            route_at_fault=delayed and next_hop.by_route,
            # Without a route, the resolver returns this status only for a domain with private addresses.
            no_public_address=delayed and not next_hop.by_route and reply.enhanced == _MISCONFIGURED,
        )
