"""Sending limits: hold what a sender sends to other systems beyond a limit, on all nodes of a store together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from emailsys.config.settings import SendingSettings
from emailsys.delivery.clock import Timing
from emailsys.delivery.sending_counts import Admission, SendingCounts
from emailsys.delivery.sending_rules import DAY_HOURS, Rules
from emailsys.interfaces import ISentCounts, SentCount, StoreError, TooMuchHeld
from emailsys.mail.envelope import Envelope
from emailsys.telemetry import Telemetry

# Seconds until counts are written to the store. A crash loses the counts of this time.
_WRITE_AFTER: Final = 5.0


class SendingLimits:
    """The limits of a daemon, which counts in memory and writes to the store every few seconds.

    Several nodes of one store have one limit together (decision 0041). A message of a sender that is not far from a
    limit is counted in the store before it is accepted.
    """

    def __init__(
        self,
        settings: SendingSettings,
        store: ISentCounts,
        network_of: Callable[[str], str | None],
        timing: Timing,
        telemetry: Telemetry,
    ) -> None:
        """@param network_of: returns the trusted network of an IP address, or None."""
        self._store = store
        self._network_of = network_of
        self._clock = timing.clock
        self._now = lambda: timing.now().timestamp()
        self._telemetry = telemetry
        self._rules = Rules(settings, network_of)
        self._counts = SendingCounts(self._rules, self._now)
        # Messages that are counted in the store before they are accepted.
        self._asking: list[tuple[Envelope, Deferred[Admission]]] = []
        self._write_call: IDelayedCall | None = None
        self._is_working = self._is_due = False
        self._work: Deferred[None] | None = None

    def set_limits(self, settings: SendingSettings) -> None:
        """Use these limits from now on. The counts stay."""
        self._rules = Rules(settings, self._network_of)
        self._counts.set_rules(self._rules)

    async def load(self) -> None:
        """Add the counts of the last day from the store."""
        self._counts.load(await self._store.load(self._counts.hour() - DAY_HOURS))

    def admit(self, envelope: Envelope) -> Admission | Deferred[Admission]:
        """Count a message for its senders. If it exceeds a limit, hold its remote recipients; it is not counted then.

        @return: the decision. A Deferred if it is counted in the store first.
        @raise TooMuchHeld: (also in the Deferred) the message must not be accepted.
        @raise StoreError: (in the Deferred) the database cannot be reached.
        """
        if self._store.is_shared and not self._counts.may_wait(envelope):
            done: Deferred[Admission] = Deferred()
            self._asking.append((envelope, done))
            self._begin_work()
            return done
        admission = self._counts.admit(envelope)
        self._write_later()
        return admission

    def revoke(self, admission: Admission) -> None:
        """Take back what was counted for a message that was not accepted."""
        self._counts.revoke(admission)
        self._write_later()

    def log(self, admission: Admission, queue_id: str) -> None:
        """Log the limits that were reached."""
        for crossing in admission.crossings:
            of, limit = crossing.sender.name, crossing.limit
            if crossing.is_held:
                self._telemetry.event("sending-held", queue_id=queue_id, of=of, limit=limit)
            else:
                self._telemetry.event("sending-limit-near", queue_id=queue_id, of=of, limit=limit)

    async def stop(self) -> None:
        """Write the counts that are not in the store yet."""
        if self._write_call is not None:
            self._write_call.cancel()
            self._write_call = None
        if self._work is not None:
            await self._work
        await self._write()

    # Writing

    def _write_later(self) -> None:
        if self._write_call is None and self._counts.unwritten:
            self._write_call = self._clock.callLater(_WRITE_AFTER, self._begin_write)

    def _begin_write(self) -> None:
        self._write_call = None
        self._is_due = True
        self._begin_work()

    def _begin_work(self) -> None:
        if not self._is_working:
            self._is_working = True
            self._work = Deferred.fromCoroutine(self._write_all())

    async def _write_all(self) -> None:
        """Write counts as long as a message waits for that, or it is time. One write is in progress at a time."""
        try:
            while self._asking or self._is_due:
                self._is_due = False
                await self._write()
        finally:
            self._is_working = False

    async def _write(self) -> None:
        self._counts.tidy()
        asking, self._asking = self._asking, []
        if not asking and not self._counts.unwritten:
            return
        unwritten = self._counts.take_unwritten()
        try:
            if self._store.is_shared:
                await self._count_together(asking, unwritten)
            else:
                await self._store.add(unwritten, self._counts.hour() - DAY_HOURS)
        except Exception as error:
            if isinstance(error, StoreError):
                self._counts.put_back(unwritten)
                self._write_later()
            elif not asking:
                self._telemetry.exception("sending-limits-exception", Failure())
            for _, done in asking:
                if not done.called:
                    done.errback(error)

    async def _count_together(
        self, asking: Sequence[tuple[Envelope, Deferred[Admission]]], unwritten: Sequence[SentCount]
    ) -> None:
        """Write counts, learn what other nodes counted, and decide on messages, in one transaction."""
        rules, now, hour = self._rules, self._now(), self._counts.hour()
        charged = {sender.key for envelope, _ in asking for sender, _ in rules.charged(envelope)}
        senders = sorted(charged.union(count.sender for count in unwritten))
        held = self._counts.held(senders)

        def decide(
            found: Sequence[SentCount],
        ) -> tuple[Sequence[SentCount], tuple[SendingCounts, list[Admission | TooMuchHeld]]]:
            counts = SendingCounts(rules, lambda: now)
            counts.load((*found, *unwritten))
            counts.put_back(unwritten)
            counts.hold(held)
            decisions: list[Admission | TooMuchHeld] = []
            for envelope, _ in asking:
                try:
                    decisions.append(counts.admit(envelope))
                except TooMuchHeld as error:
                    decisions.append(error)
            return counts.take_unwritten(), (counts, decisions)

        counts, decisions = await self._store.count(senders, hour, hour - DAY_HOURS, decide)
        self._counts.adopt(senders, counts, held)
        for (_, done), decision in zip(asking, decisions, strict=True):
            if not done.called:
                done.callback(decision) if isinstance(decision, Admission) else done.errback(decision)
            elif isinstance(decision, Admission):
                # Cancelled: the message is not accepted.
                self.revoke(decision)
