"""Bring one message to a next hop: its hosts in turn, until each recipient has an outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IDialer, IRelay, IResolver
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, kind_of
from emailsys.telemetry import Telemetry

# RFC 3463 §3.6: too many recipients.
_TOO_MANY: Final = "4.5.3"
# RFC 3463 §3.5: no answer from host.
_NO_CONNECTION: Final = "4.4.1"


def _too_many(outcome: Outcome) -> bool:
    """Whether the host wants that recipient in another transaction (RFC 5321 §4.5.3.1.10)."""
    reply = outcome.reply
    if not outcome.from_remote or outcome.kind is not OutcomeKind.DELAYED:
        return False
    return (reply.code == 452 and reply.enhanced in ("", _TOO_MANY)) or reply.code == 552


def _tells_more(outcome: Outcome, before: Outcome | None) -> bool:
    """Whether a later outcome is told in place of an earlier one: what a host said of the recipient counts more than
    what ails another host, and that more than that a third could not be reached."""
    if before is None or not outcome.host_at_fault:
        return True
    return before.host_at_fault and before.reply.enhanced == _NO_CONNECTION


@implementer(IRelay)
class ClosedRelay:
    """Mail to other systems is switched off: it waits."""

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        return [Outcome(OutcomeKind.DELAYED, replies.OUTBOUND_OFF)] * len(transmission.recipients)

    def idle(self, next_hop: NextHop) -> None:
        """There are no connections."""

    def wind_up(self, grace: float) -> None:
        """Nothing is under way."""


class _Attempt:
    """One message, and what is known of each of its recipients so far."""

    def __init__(self, transmission: Transmission) -> None:
        self._transmission = transmission
        self.outcomes: list[Outcome | None] = [None] * len(transmission.recipients)
        #: Indices of the recipients that the next host is asked for.
        self.left = list(range(len(transmission.recipients)))

    def part(self) -> Transmission:
        """The message for those that are left."""
        if len(self.left) == len(self._transmission.recipients):
            return self._transmission
        recipients = tuple(self._transmission.recipients[index] for index in self.left)
        return dataclasses.replace(self._transmission, recipients=recipients)

    def note(self, outcomes: Sequence[Outcome]) -> bool:
        """Take what a host said of those that are left. Whether some were accepted and others only came too many."""
        asked, some = self.left, any(outcome.kind is OutcomeKind.DELIVERED for outcome in outcomes)
        too_many = []
        self.left = []
        for index, outcome in zip(asked, outcomes, strict=True):
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
    """Relays by resolver and dialer."""

    def __init__(self, resolver: IResolver, dialer: IDialer, settings: OutboundSettings, telemetry: Telemetry) -> None:
        self._resolver = resolver
        self._dialer = dialer
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
            self._telemetry.exception("outbound.exception", Failure(), queue_id=transmission.queue_id)
        delayed = Outcome(OutcomeKind.DELAYED, replies.LOCAL_ERROR)
        return [delayed if outcome is None else outcome for outcome in attempt.outcomes]

    def idle(self, next_hop: NextHop) -> None:
        self._dialer.idle(next_hop)

    def wind_up(self, grace: float) -> None:
        self._winding_up = True
        self._dialer.wind_up(grace)
        for lookup in tuple(self._lookups):
            lookup.cancel()

    async def _try_hosts(self, next_hop: NextHop, attempt: _Attempt) -> None:
        connected = self._dialer.connected(next_hop)
        if connected is not None:
            await self._send(next_hop, connected, attempt)
            if not attempt.left:
                return
        found = await self._hosts(next_hop)
        if isinstance(found, Reply):
            attempt.note([self._nowhere(found)] * len(attempt.left))
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
        """Send to one host; again, in another transaction, while it takes some recipients and the rest are too many."""
        while attempt.left:
            if not attempt.note(await self._dialer.send(next_hop, host, attempt.part())):
                return

    def _nowhere(self, reply: Reply) -> Outcome:
        """There is no host to ask."""
        return Outcome(kind_of(reply), reply, host_at_fault=kind_of(reply) is OutcomeKind.DELAYED)
