"""Limits for guessed recipients, senders and notices in a worker: the daemon counts for all processes."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred

from emailsys.config.settings import SendingSettings
from emailsys.daemon.worker_channel import Channel
from emailsys.daemon.worker_sharing import packed, unpacked
from emailsys.delivery.sending_counts import Admission
from emailsys.interfaces import StoreError, TooMuchHeld
from emailsys.mail import reply
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, RemoteRoute, Route
from emailsys.mail.ip import client_network
from emailsys.mail.reply import Reply
from emailsys.policy.decaying_counters import MAX_KEYS

#: Answers to a worker that asks whether it may look up a recipient. For a clean network, it need not ask again.
GUESSED: Final = "guessed"
BUSY: Final = "busy"
GO_ON: Final = "go-on"
CLEAN: Final = "clean"


class SharedGuesses:
    """The limit for guessed recipients in a worker: the daemon counts them, and gives each look-up its turn.

    A network that has sent a message and guessed no recipient is clean. The worker does not ask about it again, until
    the daemon reports that it has guessed one.

    @param is_exempt: whether an IP address has no limits.
    """

    def __init__(self, channel: Channel, is_exempt: Callable[[str], bool]) -> None:
        self._channel = channel
        self._is_exempt = is_exempt
        self._numbers = itertools.count(1)
        self._turns: dict[int, Callable[[], Awaitable[None]]] = {}
        # The longest known is first.
        self._clean: OrderedDict[str, None] = OrderedDict()

    def has_guessed(self, ip: str) -> bool:
        """Return False: `look_up` asks the daemon."""
        return False

    def is_known(self, ip: str) -> bool:
        """Return whether a look-up needs no question: the network is clean, or has no limits."""
        return client_network(ip) in self._clean or self._is_exempt(ip)

    async def look_up(self, ip: str, resolve: Callable[[], Awaitable[Sequence[Route]]]) -> Sequence[Route] | Reply:
        """Wait for the turn of an address and return what `resolve` returns, or a reply that refuses to."""
        found: list[Sequence[Route] | Exception] = []

        async def take_turn() -> None:
            try:
                found.append(await resolve())
            except Exception as error:
                found.append(error)

        number = next(self._numbers)
        self._turns[number] = take_turn
        try:
            outcome = await self._channel.ask("recipient", number=number, ip=ip)
        finally:
            del self._turns[number]
        if outcome == GUESSED:
            return reply.TOO_MANY_UNKNOWN
        if outcome == BUSY:
            return reply.TOO_MANY_LOOK_UPS
        if outcome == CLEAN:
            self._clean[client_network(ip)] = None
            if len(self._clean) > MAX_KEYS:
                self._clean.popitem(last=False)
        if not found:
            return await resolve()
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    async def resolve(self, number: int) -> None:
        """Look up a recipient, because the daemon says that it is its turn. The client may have gone."""
        take_turn = self._turns.get(number)
        if take_turn is not None:
            await take_turn()

    async def refuse(self, ip: str) -> Reply:
        """Have an unknown recipient counted, and return the reply after a delay that grows."""
        if self._is_exempt(ip) or await self._channel.ask("unknown-recipient", ip=ip):
            return reply.NO_SUCH_MAILBOX
        return reply.TOO_MANY_UNKNOWN

    def accepted(self, ip: str) -> None:
        """Say that a message from this address was accepted, unless that changes nothing."""
        if not self.is_known(ip):
            self._channel.tell("message-accepted", ip=ip)

    def guessed(self, network: str) -> None:
        """Note that a network has guessed a recipient: it is not clean any more."""
        self._clean.pop(network, None)


@dataclass(slots=True)
class CountedAdmission(Admission):
    """A decision that the daemon remembers under a number. 0: it does not."""

    number: int = 0


class SharedSenderLimits:
    """The limits for senders in a worker: the daemon counts the messages. See `SendingLimits`."""

    def __init__(self, channel: Channel, settings: SendingSettings) -> None:
        self._channel = channel
        self.set_limits(settings)

    def set_limits(self, settings: SendingSettings) -> None:
        """Use these limits from now on: without any, the daemon is not asked."""
        limits = settings.messages_per_hour, settings.messages_per_day
        self._is_limited = any((*limits, settings.recipients_per_hour, settings.recipients_per_day))

    def admit(self, envelope: Envelope) -> Admission | Deferred[Admission]:
        """Have a message counted. Returns its envelope with the recipients to hold, as `SendingLimits.admit` does."""
        if not self._is_limited or envelope.client is None:
            return CountedAdmission(envelope)
        return Deferred.fromCoroutine(self._ask(envelope))

    async def _ask(self, envelope: Envelope) -> Admission:
        told = await self._channel.ask("admit", envelope=packed(envelope))
        if "refused" in told:
            raise TooMuchHeld(told["refused"])
        if "failed" in told:
            raise StoreError(told["failed"])
        changed, crossings = unpacked(told["decision"]) if "decision" in told else (envelope, [])
        return CountedAdmission(changed, crossings, number=told["number"])

    def revoke(self, admission: Admission) -> None:
        """Take back what was counted for a message that was not accepted."""
        self._end("revoke", admission)

    def log(self, admission: Admission, queue_id: str) -> None:
        """Have the limits logged that were reached: the message was accepted."""
        self._end("admitted", admission, queue_id=queue_id)

    def _end(self, name: str, admission: Admission, **fields: object) -> None:
        if isinstance(admission, CountedAdmission) and admission.number:
            self._channel.tell(name, number=admission.number, **fields)


class SharedNoticeLimit:
    """The limit for notices in a worker: the daemon counts them. See `NoticeCap`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def take(self, address: Address, routes: Sequence[Route], queue_id: str) -> bool | Deferred[bool]:
        """Have a notice counted, if it leaves this system. Returns whether it may be sent."""
        if not any(isinstance(route, RemoteRoute) for route in routes):
            return True
        return self._channel.ask("notice", address=[address.local, address.domain], queue_id=queue_id)
