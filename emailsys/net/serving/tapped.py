"""Parts of a server session that is recorded. They take the places of the usual ones when a connection begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces.wiretap import ITap, IWiretap
from emailsys.net.base.address_text import address_text
from emailsys.net.base.failures import why_lost
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.dialogue import Dialogue, ProtocolMachine
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.serving.replies import ReplyBuffer
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.net.tls.facts import tls_facts
from emailsys.net.tls.tapped import TappedTLS
from emailsys.telemetry import Telemetry
from emailsys.wire.lines import Flaw, LineReader

EventT = TypeVar("EventT")


class TappedLines(LineReader):
    """A line reader that tells what the session reads, in the order in which it reads it."""

    __slots__ = ("_octets_fed", "_octets_told", "_tap", "in_exchange")

    def __init__(self, tap: ITap) -> None:
        super().__init__()
        self._tap = tap
        self._octets_fed = 0
        self._octets_told = 0
        #: Whether the next line is a response of an authentication exchange. The connection sets it.
        self.in_exchange: Callable[[], bool] = bool

    @override
    def feed(self, octets: bytes) -> None:
        self._octets_fed += len(octets)
        super().feed(octets)

    @override
    def next_line(self, limit: int) -> bytes | Flaw | None:
        found = super().next_line(limit)
        if found is not None:
            # With an over-long line, also what was discarded as it arrived.
            octets = self._octets_fed - self.waiting - self._octets_told
            self._octets_told += octets
            self._tap.command(self.flawed if isinstance(found, Flaw) else found, octets, self.in_exchange())
        return found

    @override
    def next_match(self, pattern: re.Pattern[bytes]) -> None:
        """Let `next_line` return each line, which tells it."""

    @override
    def cut(self) -> None:
        super().cut()
        octets = self._octets_fed - self._octets_told
        self._octets_told += octets
        self._tap.command(self.flawed, octets, self.in_exchange())

    @override
    def take(self, most: int | None = None) -> bytes:
        block = super().take(most)
        if block:
            self._octets_told += len(block)
            self._tap.body(block)
        return block

    @override
    def put_back(self, octets: bytes) -> None:
        super().put_back(octets)
        self._octets_told -= len(octets)
        self._tap.body_ended_before(len(octets))

    @override
    def discard(self) -> int:
        octets = super().discard()
        if octets:
            self._octets_told += octets
            self._tap.dropped(octets)
        return octets


class TappedReplies(ReplyBuffer):
    """An output buffer that tells what is sent."""

    def __init__(self, clock: IReactorTime, turn: TurnEnd, tap: ITap) -> None:
        super().__init__(clock, turn)
        self._tap = tap

    @override
    def send(self, octets: bytes) -> None:
        if not self.lost:
            self._tap.reply(octets)
        super().send(octets)


class TappedConnection(Connection[EventT]):
    """A server connection that tells of its beginning, TLS and end."""

    def __init__(
        self,
        tap: ITap,
        lines: TappedLines,
        wire: ProtocolMachine[EventT],
        dialogue: Dialogue[EventT],
        clock: IReactorTime,
        turn: TurnEnd,
        **times: float,
    ) -> None:
        super().__init__(wire, dialogue, clock, turn, **times)
        #: The record, for `net.tls.tapped`.
        self.tap = tap
        self.replies = replies = TappedReplies(clock, turn, tap)
        self.send = replies.send
        self.writable = replies.writable
        machine: Any = wire
        lines.in_exchange = lambda: bool(machine.in_exchange)

    @override
    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.tap.opened(address_text(transport.getPeer()), address_text(transport.getHost()))
        super().connectionMade()

    @override
    def start_tls(self, context_factory: IOpenSSLServerConnectionCreator) -> None:
        super().start_tls(TappedTLS(context_factory, self.tap))

    @override
    def handshakeCompleted(self) -> None:
        if self.is_negotiating and not self.closing:
            self.tap.secured(tls_facts(self.transport))
        super().handshakeCompleted()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        ours, negotiating = self.closing, self.is_negotiating
        super().connectionLost(reason)
        why = why_lost(reason) or f"closed by {'this host' if ours else 'the peer'}"
        self.tap.closed(f"TLS handshake failed: {why}" if negotiating else why)


class TappedTelemetry(Telemetry):
    """Telemetry of one session that also tells the record of its connection."""

    def __init__(self, telemetry: Telemetry, tap: ITap) -> None:
        """@param telemetry: that of all sessions."""
        self._telemetry = telemetry
        self._tap = tap
        self.also = None
        self.counters = telemetry.counters

    @override
    def event(self, name: str, /, **fields: object) -> None:
        self._telemetry.event(name, **fields)
        self._tap.told(name, fields)

    @override
    def alarm(self, name: str, /, **fields: object) -> None:
        self._telemetry.alarm(name, **fields)

    @override
    def exception(self, name: str, failure: Failure, /, **fields: Any) -> None:
        self._telemetry.exception(name, failure, **fields)
        self._tap.verdict("unexpected exception; see the log")


@dataclass(frozen=True, slots=True)
class TappedParts:
    """The parts of a recorded session, in place of the usual ones."""

    tap: ITap
    environment: ServiceEnvironment
    connect: Callable[..., Connection[Any]]
    lines: TappedLines


def tapped_parts(environment: ServiceEnvironment, wiretap: IWiretap, protocol: str, session_id: str) -> TappedParts:
    """Return the parts of a session that is recorded from its beginning."""
    tap = wiretap.begin(protocol, False, session_id)
    lines = TappedLines(tap)
    telemetry = TappedTelemetry(environment.telemetry, tap)
    return TappedParts(tap, replace(environment, telemetry=telemetry), partial(TappedConnection, tap, lines), lines)
