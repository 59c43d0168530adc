"""Sending limits: counts what each sender sends to other systems, and holds what exceeds a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from emailsys.config.settings import SendingSettings
from emailsys.delivery.clock import Timing
from emailsys.interfaces import ISentCounts, SentCount, StoreError, TooMuchHeld
from emailsys.mail.address import Address
from emailsys.mail.envelope import Client, Envelope, RemoteRoute
from emailsys.telemetry import Telemetry

_HOUR: Final = 3600
_DAY_HOURS: Final = 24
# The part of a limit at which its owner is warned.
_NEAR: Final = 0.8
# Seconds until counts are written to the store. A crash loses the counts of this time.
_WRITE_AFTER: Final = 5.0

# A sender may have this many times its limit in held recipients of a day. A flood must not fill the disk.
_MOST_HELD: Final = 10

NEAR: Final = 1
HELD: Final = 2


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender that is counted: an account, a trusted network, or an alias or account that forwards.

    `name` is its text in messages, `key` that of its counts. What an account forwards is not counted with what it
    sends: otherwise a stranger could use up its limit. `owner` is the address of an account that sends, None for
    others. `domain` is the one whose postmaster is told, "" for the default domain.
    """

    name: str
    key: str
    owner: Address | None = None
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A sender that reached a limit, or came near to it, for the first time within a day."""

    sender: Sender
    limit: str
    used: int
    is_held: bool


@dataclass(slots=True)
class Admission:
    """The decision about one message: its envelope with the recipients to hold, and the limits to give notice of."""

    envelope: Envelope
    crossings: list[Crossing] = field(default_factory=list)
    # What was counted, to be undone if the message is not accepted: sender, hour, recipients, and `SentCount.told`
    # before.
    charges: list[tuple[str, int, int, int]] = field(default_factory=list)
    # The same for what was counted as held: sender, hour, recipients.
    held: list[tuple[str, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Hour:
    messages: int = 0
    recipients: int = 0
    told: int = 0
    # Recipients that were held. Not in the store.
    held: int = 0


@dataclass(slots=True)
class _Known:
    """The counts of one sender by hour.

    In the hour `checked`, it may send this number of messages and recipients more until its limits are checked again.
    Most messages need no further check.
    """

    hours: dict[int, _Hour] = field(default_factory=dict)
    checked: int = -1
    messages_left: float = 0.0
    recipients_left: float = 0.0


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit. `hours` is 1 or 24."""

    most: int
    hours: int
    of_recipients: bool

    def __str__(self) -> str:
        what = "recipients" if self.of_recipients else "messages"
        return f"{self.most} {what} {'an hour' if self.hours == 1 else 'a day'}"


class SendingLimits:
    """The limits, and the counts of the last day in memory.

    A count covers the present hour of the clock and those before it; the oldest counts for the part of it that is
    still within the last hour or day. The counts are written to the store every few seconds. Several nodes of one store
    each have limits of their own until they start again.
    """

    def __init__(
        self,
        settings: SendingSettings,
        counts: ISentCounts,
        network_of: Callable[[str], str | None],
        timing: Timing,
        telemetry: Telemetry,
    ) -> None:
        """@param network_of: returns the trusted network of an IP address, or None."""
        self._counts = counts
        self._network_of = network_of
        self._timing = timing
        self._telemetry = telemetry
        self._senders: dict[str, _Known] = {}
        self.set_limits(settings)
        # What is not in the store yet.
        self._unwritten: dict[tuple[str, int], _Hour] = {}
        self._write_call: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None

    def set_limits(self, settings: SendingSettings) -> None:
        """Use these limits from now on. The counts stay."""
        self._unlimited = frozenset(settings.unlimited)
        limits = (
            _Limit(settings.messages_per_hour, 1, of_recipients=False),
            _Limit(settings.recipients_per_hour, 1, of_recipients=True),
            _Limit(settings.messages_per_day, _DAY_HOURS, of_recipients=False),
            _Limit(settings.recipients_per_day, _DAY_HOURS, of_recipients=True),
        )
        self._limits = tuple(limit for limit in limits if limit.most)
        for known in self._senders.values():
            # What is left was reckoned by the former limits, which may have been higher.
            known.checked = -1

    async def load(self) -> None:
        """Add the counts of the last day from the store."""
        hour, _ = self._hour()
        for count in await self._counts.load(hour - _DAY_HOURS):
            sender = self._senders.setdefault(count.sender, _Known())
            sender.checked = -1
            known = sender.hours.setdefault(count.hour, _Hour())
            known.messages += count.messages
            known.recipients += count.recipients
            known.told = max(known.told, count.told)

    def admit(self, envelope: Envelope) -> Admission:
        """Count a message for its senders. If it exceeds a limit, hold its remote recipients; it is not counted then.

        @raise TooMuchHeld: the message must not be accepted.
        """
        admission = Admission(envelope)
        try:
            return self._admit(envelope, admission)
        except TooMuchHeld:
            self.revoke(admission)
            raise

    def _admit(self, envelope: Envelope, admission: Admission) -> Admission:
        if not self._limits or envelope.client is None:
            return admission
        remote, aliases = _remote_recipients(envelope)
        sender = self._sender_of(envelope.client)
        why = "" if sender is None else self._charge(sender, remote, admission)
        held: dict[Address, str] = {}
        if not why:
            for alias, count in aliases.items():
                name = "@".join(alias.key)
                forward = Sender(f"the forward of {name}", f"forward of {name}", domain=alias.domain)
                held[alias] = "" if name in self._unlimited else self._charge(forward, count, admission)
        if why or any(held.values()):
            recipients = []
            for recipient in envelope.recipients:
                route = next((r for r in recipient.routes if isinstance(r, RemoteRoute)), None)
                hold = why or ("" if route is None or route.alias is None else held[route.alias])
                recipients.append(replace(recipient, hold=hold) if hold and route is not None else recipient)
            admission.envelope = replace(envelope, recipients=recipients)
        return admission

    def revoke(self, admission: Admission) -> None:
        """Take back what was counted for a message that was not accepted."""
        for name, hour, recipients, told in reversed(admission.charges):
            known = self._senders.setdefault(name, _Known())
            for count in (known.hours.setdefault(hour, _Hour()), self._unwritten_count(name, hour)):
                count.messages -= recipients > 0
                count.recipients -= recipients
                count.told = told
        for name, hour, recipients in admission.held:
            self._senders.setdefault(name, _Known()).hours.setdefault(hour, _Hour()).held -= recipients

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
        if self._writing is not None:
            await self._writing
        await self._write()

    # Senders

    def _sender_of(self, client: Client) -> Sender | None:
        if client.account is not None:
            return _account(client.account)
        network = self._network_of(client.ip)
        return None if network is None else Sender(network, network)

    # Counting

    def _hour(self) -> tuple[int, float]:
        """Return the present hour since 1970, and the part of it that has passed."""
        hour, seconds = divmod(self._timing.now().timestamp(), _HOUR)
        return int(hour), seconds / _HOUR

    def _charge(self, sender: Sender, recipients: int, admission: Admission) -> str:
        """Count a message for a sender. If that would exceed a limit, return why it is held, and do not count it."""
        if not recipients or sender.key in self._unlimited:
            return ""
        hour, passed = self._hour()
        known = self._senders.get(sender.key)
        if known is None:
            known = self._senders[sender.key] = _Known()
        near: tuple[_Limit, int] | None = None
        if known.checked != hour or known.messages_left <= 1 or known.recipients_left <= recipients:
            exceeded, near = self._check(known, recipients, hour, passed)
            if exceeded is not None:
                limit, used = exceeded
                held = sum(count.held for count in known.hours.values())
                if held and held + recipients > _MOST_HELD * limit.most:
                    raise TooMuchHeld(f"{sender.name} has reached its limit of {limit}")
                known.hours[hour].held += recipients
                admission.held.append((sender.key, hour, recipients))
                self._cross(sender, HELD, limit, used, admission)
                return f"held here: {sender.name} has reached its limit of {limit}"
        known.messages_left -= 1
        known.recipients_left -= recipients
        # If the clock was behind for a while, a write has moved the counts of this hour to another one.
        present = known.hours.setdefault(hour, _Hour())
        admission.charges.append((sender.key, hour, recipients, present.told))
        for count in (present, self._unwritten_count(sender.key, hour)):
            count.messages += 1
            count.recipients += recipients
        if near is not None:
            self._cross(sender, NEAR, *near, admission)
        return ""

    def _check(
        self, known: _Known, recipients: int, hour: int, passed: float
    ) -> tuple[tuple[_Limit, int] | None, tuple[_Limit, int] | None]:
        """Compare a sender with its limits as if the message were sent.

        Returns a limit that it would exceed, and one that it would come near to, each with how much of it is used.
        """
        _forget(known.hours, hour)
        known.hours.setdefault(hour, _Hour())
        near: tuple[_Limit, int] | None = None
        known.checked, known.messages_left, known.recipients_left = hour, math.inf, math.inf
        for limit in self._limits:
            before = _used(known.hours, hour, passed, limit)
            left = _NEAR * limit.most - before
            used = before + (recipients if limit.of_recipients else 1)
            if limit.of_recipients:
                known.recipients_left = min(known.recipients_left, left)
            else:
                known.messages_left = min(known.messages_left, left)
            if used > limit.most:
                known.checked = -1
                return (limit, int(used)), None
            if used >= _NEAR * limit.most:
                near = limit, int(used)
        return None, near

    def _cross(self, sender: Sender, told: int, limit: _Limit, used: int, admission: Admission) -> None:
        """Note that a sender is at a limit, unless its owner was told within the last day."""
        hour, _ = self._hour()
        hours = self._senders[sender.key].hours
        if max(known.told for known in hours.values()) >= told:
            return
        # The hour may have begun since the message was counted.
        present = hours.setdefault(hour, _Hour())
        admission.charges.append((sender.key, hour, 0, present.told))
        present.told = self._unwritten_count(sender.key, hour).told = told
        admission.crossings.append(Crossing(sender, str(limit), used, told == HELD))

    # Writing

    def _unwritten_count(self, name: str, hour: int) -> _Hour:
        if self._write_call is None:
            self._write_call = self._timing.clock.callLater(_WRITE_AFTER, self._begin_write)
        return self._unwritten.setdefault((name, hour), _Hour())

    def _begin_write(self) -> None:
        self._write_call = None
        self._writing = Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        hour, _ = self._hour()
        unwritten, self._unwritten = self._unwritten, {}
        for name, known in tuple(self._senders.items()):
            _forget(known.hours, hour)
            if not known.hours:
                del self._senders[name]
        if not unwritten:
            return
        counts = [
            SentCount(name, at, count.messages, count.recipients, count.told) for (name, at), count in unwritten.items()
        ]
        try:
            await self._counts.add(counts, hour - _DAY_HOURS)
        except StoreError:
            self._put_back(unwritten)
        except Exception:
            self._telemetry.exception("sending-limits-exception", Failure())

    def _put_back(self, unwritten: dict[tuple[str, int], _Hour]) -> None:
        for (name, hour), count in unwritten.items():
            again = self._unwritten_count(name, hour)
            again.messages += count.messages
            again.recipients += count.recipients
            again.told = max(again.told, count.told)


@lru_cache(maxsize=1024)
def _account(address: Address) -> Sender:
    name = "@".join(address.key)
    return Sender(name, name, address, address.domain)


def _remote_recipients(envelope: Envelope) -> tuple[int, dict[Address, int]]:
    """Return the number of remote addresses, in all and by alias."""
    if len(envelope.recipients) == 1 and len(envelope.recipients[0].routes) == 1:
        [route] = envelope.recipients[0].routes
        alias = route.alias if isinstance(route, RemoteRoute) else None
        return int(isinstance(route, RemoteRoute)), {} if alias is None else {alias: 1}
    aliases: dict[Address, set[Address]] = {}
    every: set[Address] = set()
    for route in _remote_routes(envelope):
        every.add(route.forward_path)
        if route.alias is not None:
            aliases.setdefault(route.alias, set()).add(route.forward_path)
    return len(every), {alias: len(paths) for alias, paths in aliases.items()}


def _remote_routes(envelope: Envelope) -> Iterator[RemoteRoute]:
    for recipient in envelope.recipients:
        for route in recipient.routes:
            if isinstance(route, RemoteRoute):
                yield route


def _forget(hours: dict[int, _Hour], present: int) -> None:
    """Drop hours that are over a day old. Hours of the future, from a wrong clock, count as the present one."""
    for hour in [hour for hour in hours if not present - _DAY_HOURS <= hour <= present]:
        count = hours.pop(hour)
        if hour > present:
            known = hours.setdefault(present, _Hour())
            known.messages += count.messages
            known.recipients += count.recipients
            known.told = max(known.told, count.told)
            known.held += count.held


def _used(hours: dict[int, _Hour], present: int, passed: float, limit: _Limit) -> float:
    """Return how much of a limit is used.

    @param passed: the part of the present hour that has passed.
    """
    used = 0.0
    for hour, count in hours.items():
        if hour >= present - limit.hours:
            weight = 1 - passed if hour == present - limit.hours else 1
            used += weight * (count.recipients if limit.of_recipients else count.messages)
    return used
