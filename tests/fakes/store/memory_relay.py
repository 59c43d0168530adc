"""Other hosts and the way to them, in memory: scripted replies, hosts that are down, hosts that never answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import IRelay, IRouter, QueueRow, StoreError
from emailsys.mail.address import Address, domain_key
from emailsys.mail.envelope import RemoteRoute, Route
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, Transmission, kind_of

ACCEPTED = Reply(250, "2.0.0", "taken")
DOWN = Reply(451, "4.4.1", "no answer from any host")


@dataclass
class Delivery:
    """A message that some host took."""

    host: str
    transmission: Transmission
    body: bytes


@implementer(IRelay)
@dataclass
class MemoryRelay:
    """A relay.

    Knobs: `down`, hosts that refuse connections; `hanging`, hosts that answer nothing until `release_held`; `replies`,
    what a recipient is told, by address, one after the other, the last again and again; `speaks_dsn`; `seconds`, with
    `later`, how long a delivery takes; `most_connections`, what a host bears.
    Record: `attempts`, host and recipients, in order; `transmissions` of these; `delivered`; `most_at_once`, by host;
    `idled`; `grace`, of `shut_down`.
    """

    down: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    speaks_dsn: bool = True
    seconds: float = 0.0
    later: Callable[[float], Deferred[None]] | None = None
    most_connections: int = 1_000_000
    raises: Exception | None = None
    attempts: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    transmissions: list[Transmission] = field(default_factory=list)
    delivered: list[Delivery] = field(default_factory=list)
    idled: list[str] = field(default_factory=list)
    at_once: dict[str, int] = field(default_factory=dict)
    most_at_once: dict[str, int] = field(default_factory=dict)
    held: list[Deferred[None]] = field(default_factory=list)
    cancelled: int = 0
    grace: float | None = None

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        host = next_hop.name
        recipients = tuple(str(forward.forward_path) for forward in transmission.recipients)
        self.attempts.append((host, recipients))
        self.transmissions.append(transmission)
        if self.raises is not None:
            raise self.raises
        now = self.at_once[host] = self.at_once.get(host, 0) + 1
        self.most_at_once[host] = max(now, self.most_at_once.get(host, 0))
        try:
            if now > self.most_connections:
                return [Outcome(kind_of(DOWN), DOWN, host_at_fault=True)] * len(recipients)
            if host in self.hanging:
                await self._hold()
            elif self.later is not None and self.seconds:
                await self.later(self.seconds)
            if host in self.down:
                return [Outcome(kind_of(DOWN), DOWN, host_at_fault=True)] * len(recipients)
            return await self._speak(host, transmission)
        finally:
            self.at_once[host] -= 1

    async def _hold(self) -> None:
        held: Deferred[None] = Deferred(self._count_cancelled)
        self.held.append(held)
        await held

    def _count_cancelled(self, held: Deferred[None]) -> None:
        self.held.remove(held)
        self.cancelled += 1

    async def _speak(self, host: str, transmission: Transmission) -> Sequence[Outcome]:
        body = b""
        async for piece in transmission.pieces():
            body += piece
        outcomes = []
        for forward in transmission.recipients:
            script = self.replies.get(str(forward.forward_path), [ACCEPTED])
            reply = script.pop(0) if len(script) > 1 else script[0]
            outcomes.append(Outcome(kind_of(reply), reply, f"mx.{host}", from_remote=True, takes_dsn=self.speaks_dsn))
        self.delivered.append(Delivery(host, transmission, body))
        return outcomes

    def idle(self, next_hop: NextHop) -> None:
        self.idled.append(next_hop.name)

    def shut_down(self, grace: float) -> None:
        self.grace = grace

    def release_held(self) -> None:
        """The hosts that hang go on."""
        held, self.held = self.held, []
        for waiting in held:
            waiting.callback(None)


@implementer(IRouter)
@dataclass
class MemoryRouter:
    """Routes: `local` knows the ways within, by address; all else goes to its domain. `fails` makes it raise."""

    local: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    smart_host: str | None = None
    fails: bool = False

    async def next_hop(self, row: QueueRow) -> NextHop:
        if self.fails:
            raise StoreError("the directory cannot be read")
        if self.smart_host is not None:
            return NextHop(self.smart_host, by_mx=False)
        return NextHop(domain_key(row.forward_path.domain))

    async def sender(self, row: QueueRow) -> Address | None:
        if row.forwarded and row.reverse_path is not None:
            return Address(f"srs-{row.reverse_path.local}", "home.test")
        return row.reverse_path

    async def resolve(self, forward_path: Address) -> Sequence[Route]:
        return self.local.get(str(forward_path), (RemoteRoute(forward_path),))
