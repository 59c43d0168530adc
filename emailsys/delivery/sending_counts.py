"""Counts of what senders sent to other systems, compared with their limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from emailsys.delivery.sending_rules import DAY_HOURS, Limit, Rules, Sender, remote_recipients
from emailsys.interfaces import SentCount, TooMuchHeld
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, RemoteRoute

_HOUR: Final = 3600
# The part of a limit at which its owner is warned.
_NEAR: Final = 0.8
# A node may count this part of a limit before it tells the other nodes, as long as at most half of the limit is used.
_UNTOLD: Final = 64

# A sender may have this many times its limit in held recipients of a day. A flood must not fill the disk.
_MOST_HELD: Final = 10

NEAR: Final = 1
HELD: Final = 2


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
class Hour:
    """The counts of one sender in one hour. See `SentCount`."""

    messages: int = 0
    recipients: int = 0
    told: int = 0
    # Recipients that were held. Not in the store.
    held: int = 0

    def add(self, count: SentCount) -> None:
        """Add a count."""
        self.messages += count.messages
        self.recipients += count.recipients
        self.told = max(self.told, count.told)

    def counted(self, sender: str, hour: int) -> SentCount:
        """Return the counts for the store."""
        return SentCount(sender, hour, self.messages, self.recipients, self.told)


@dataclass(slots=True)
class _Known:
    """The counts of one sender by hour.

    In the hour `checked`, it may send this number of messages and recipients more until its limits are checked again.
    Most messages need no further check.
    """

    hours: dict[int, Hour] = field(default_factory=dict)
    checked: int = -1
    messages_left: float = 0.0
    recipients_left: float = 0.0


#: Recipients that were held, by sender and hour.
Held = Mapping[str, Mapping[int, int]]

# A sender and an hour without counts. Never changed.
_NOTHING: Final = _Known()
_NONE: Final = Hour()


class SendingCounts:
    """The counts of the last day, by sender and hour.

    A count covers the present hour of the clock and those before it; the oldest counts for the part of it that is
    still within the last hour or day.
    """

    def __init__(self, rules: Rules, now: Callable[[], float]) -> None:
        """@param now: seconds since 1970."""
        self._rules = rules
        self._now = now
        self._senders: dict[str, _Known] = {}
        #: What is not in the store yet, by sender and hour.
        self.unwritten: dict[tuple[str, int], Hour] = {}

    def set_rules(self, rules: Rules) -> None:
        """Use these limits from now on. The counts stay."""
        self._rules = rules
        for known in self._senders.values():
            # What is left was reckoned by the former limits, which may have been higher.
            known.checked = -1

    def load(self, counts: Iterable[SentCount]) -> None:
        """Add counts that are in the store."""
        for count in counts:
            sender = self._senders.setdefault(count.sender, _Known())
            sender.checked = -1
            known = sender.hours.setdefault(count.hour, Hour())
            known.add(count)

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
        if not self._rules.limits or envelope.client is None:
            return admission
        remote, aliases = remote_recipients(envelope)
        sender = self._rules.sender_of(envelope.client)
        why = "" if sender is None else self._charge(sender, remote, admission)
        held: dict[Address, str] = {}
        if not why:
            for alias, count in aliases.items():
                forward = self._rules.forwarding(alias)
                held[alias] = "" if forward is None else self._charge(forward, count, admission)
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
            for count in (known.hours.setdefault(hour, Hour()), self._unwritten_count(name, hour)):
                count.messages -= recipients > 0
                count.recipients -= recipients
                count.told = told
        for name, hour, recipients in admission.held:
            self._senders.setdefault(name, _Known()).hours.setdefault(hour, Hour()).held -= recipients

    def hour(self) -> int:
        """Return the present hour since 1970."""
        return int(self._now() // _HOUR)

    def tidy(self) -> None:
        """Drop counts that are over a day old."""
        hour = self.hour()
        for name, known in tuple(self._senders.items()):
            _forget(known.hours, hour)
            if not known.hours:
                del self._senders[name]

    # Counting together with other nodes

    def may_wait(self, envelope: Envelope) -> bool:
        """Whether a message may be counted here before other nodes know: its senders are far from their limits."""
        return all(self._is_far(sender.key, recipients) for sender, recipients in self._rules.charged(envelope))

    def _is_far(self, key: str, recipients: int) -> bool:
        hour, seconds = divmod(self._now(), _HOUR)
        known = self._senders.get(key, _NOTHING)
        untold = self.unwritten.get((key, int(hour)), _NONE)
        for limit in self._rules.limits:
            own, more = (untold.recipients, recipients) if limit.of_recipients else (untold.messages, 1)
            used = _used(known.hours, int(hour), seconds / _HOUR, limit)
            if (own + more) * _UNTOLD > limit.most or (used + more) * 2 > limit.most:
                return False
        return True

    def take_unwritten(self) -> list[SentCount]:
        """Return the counts that are not in the store yet. From now on, they count as written."""
        taken, self.unwritten = self.unwritten, {}
        return [count.counted(name, hour) for (name, hour), count in taken.items()]

    def put_back(self, counts: Iterable[SentCount]) -> None:
        """Take back that counts were written."""
        for count in counts:
            self._unwritten_count(count.sender, count.hour).add(count)

    def held(self, senders: Iterable[str]) -> Held:
        """Return how many recipients of these senders were held, by hour."""
        return {
            name: {hour: count.held for hour, count in self._senders[name].hours.items()}
            for name in senders
            if name in self._senders
        }

    def hold(self, held: Held) -> None:
        """Add to the recipients that were held."""
        for name, hours in held.items():
            known = self._senders.setdefault(name, _Known())
            for hour, recipients in hours.items():
                if recipients:
                    known.hours.setdefault(hour, Hour()).held += recipients

    def adopt(self, senders: Iterable[str], counts: SendingCounts, held: Held) -> None:
        """Use the counts of some senders that were read from the store, and add what was not written meanwhile.

        @param held: what was held when they were read.
        """
        for name in senders:
            before = self._senders.get(name, _NOTHING).hours
            self._senders[name] = known = counts._senders.get(name) or _Known()
            known.checked = -1
            then = held.get(name, {})
            self.hold({name: {hour: count.held - then.get(hour, 0) for hour, count in before.items()}})
            for (sender, hour), count in self.unwritten.items():
                if sender == name:
                    known.hours.setdefault(hour, Hour()).add(count.counted(sender, hour))

    # Limits

    def _charge(self, sender: Sender, recipients: int, admission: Admission) -> str:
        """Count a message for a sender. If that would exceed a limit, return why it is held, and do not count it."""
        if not recipients:
            return ""
        at, seconds = divmod(self._now(), _HOUR)
        hour, passed = int(at), seconds / _HOUR
        known = self._senders.get(sender.key)
        if known is None:
            known = self._senders[sender.key] = _Known()
        near: tuple[Limit, int] | None = None
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
        present = known.hours.setdefault(hour, Hour())
        admission.charges.append((sender.key, hour, recipients, present.told))
        for count in (present, self._unwritten_count(sender.key, hour)):
            count.messages += 1
            count.recipients += recipients
        if near is not None:
            self._cross(sender, NEAR, *near, admission)
        return ""

    def _check(
        self, known: _Known, recipients: int, hour: int, passed: float
    ) -> tuple[tuple[Limit, int] | None, tuple[Limit, int] | None]:
        """Compare a sender with its limits as if the message were sent.

        Returns a limit that it would exceed, and one that it would come near to, each with how much of it is used.
        """
        _forget(known.hours, hour)
        known.hours.setdefault(hour, Hour())
        near: tuple[Limit, int] | None = None
        known.checked, known.messages_left, known.recipients_left = hour, math.inf, math.inf
        for limit in self._rules.limits:
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

    def _cross(self, sender: Sender, told: int, limit: Limit, used: int, admission: Admission) -> None:
        """Note that a sender is at a limit, unless its owner was told within the last day."""
        hour = self.hour()
        hours = self._senders[sender.key].hours
        if max(known.told for known in hours.values()) >= told:
            return
        # The hour may have begun since the message was counted.
        present = hours.setdefault(hour, Hour())
        admission.charges.append((sender.key, hour, 0, present.told))
        present.told = self._unwritten_count(sender.key, hour).told = told
        admission.crossings.append(Crossing(sender, str(limit), used, told == HELD))

    def _unwritten_count(self, name: str, hour: int) -> Hour:
        return self.unwritten.setdefault((name, hour), Hour())


def _forget(hours: dict[int, Hour], present: int) -> None:
    """Drop hours that are over a day old. Hours of the future, from a wrong clock, count as the present one."""
    for hour in [hour for hour in hours if not present - DAY_HOURS <= hour <= present]:
        count = hours.pop(hour)
        if hour > present:
            known = hours.setdefault(present, Hour())
            known.messages += count.messages
            known.recipients += count.recipients
            known.told = max(known.told, count.told)
            known.held += count.held


def _used(hours: dict[int, Hour], present: int, passed: float, limit: Limit) -> float:
    """Return how much of a limit is used.

    @param passed: the part of the present hour that has passed.
    """
    used = 0.0
    for hour, count in hours.items():
        if hour >= present - limit.hours:
            weight = 1 - passed if hour == present - limit.hours else 1
            used += weight * (count.recipients if limit.of_recipients else count.messages)
    return used
