"""A name server in memory, and one on a loopback port, that a test fills with records and faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, ServerFactory
from twisted.names import dns

_TYPES = {"A": dns.A, "AAAA": dns.AAAA, "MX": dns.MX, "CNAME": dns.CNAME, "SOA": dns.SOA}


def record(name: str, kind: str, value: str, ttl: int = 300) -> dns.RRHeader:
    """A record as zone files have it: record("example.net", "MX", "10 mx.example.net")."""
    payload: Any
    if kind == "A":
        payload = dns.Record_A(value, ttl)
    elif kind == "AAAA":
        payload = dns.Record_AAAA(value, ttl)
    elif kind == "CNAME":
        payload = dns.Record_CNAME(value, ttl)
    elif kind == "SOA":
        payload = dns.Record_SOA("ns.example", "root.example", 1, 2, 3, 4, int(value), ttl)
    else:
        preference, _, exchange = value.partition(" ")
        payload = dns.Record_MX(int(preference), exchange, ttl)
    return dns.RRHeader(name, _TYPES[kind], dns.IN, ttl, payload)


class Zone:
    """What there is. `faults` has response codes by name; `silent` names get no answer, `cut` ones a cut one."""

    def __init__(self, *records: dns.RRHeader) -> None:
        self.records = list(records)
        self.faults: dict[str, int] = {}
        self.silent: set[str] = set()
        self.cut: set[str] = set()
        #: What follows the number of a question in place of an answer, and what becomes of a sound one.
        self.garbage: bytes | None = None
        self.bend: Callable[[bytes], bytes] = lambda octets: octets
        self.authority: list[dns.RRHeader] = []
        self.asked: list[tuple[str, int]] = []

    def add(self, name: str, kind: str, value: str, ttl: int = 300) -> None:
        self.records.append(record(name, kind, value, ttl))

    def answer(self, query: dns.Message) -> dns.Message | None:
        """As a recursive name server answers."""
        question = query.queries[0]
        name = question.name.name.decode().lower()
        self.asked.append((name, question.type))
        if name in self.silent:
            return None
        answer = dns.Message(query.id, answer=1, recAv=1, recDes=1)
        answer.queries = query.queries
        answer.trunc = int(name in self.cut)
        answer.rCode = self.faults.get(name, dns.OK)
        if answer.rCode == dns.OK:
            self._collect(name, question.type, answer)
        answer.authority = list(self.authority)
        return answer

    def _collect(self, name: str, kind: int, answer: dns.Message) -> None:
        own = [entry for entry in self.records if entry.name.name.decode().lower() == name]
        wanted = [entry for entry in own if entry.type == kind]
        aliases = [entry for entry in own if entry.type == dns.CNAME]
        if wanted:
            answer.answers += wanted
        elif aliases and aliases[0] not in answer.answers:
            answer.answers.append(aliases[0])
            payload: Any = aliases[0].payload
            self._collect(payload.name.name.decode().lower(), kind, answer)
        elif not own:
            answer.rCode = dns.ENAME


class ZoneServer(DatagramProtocol):
    """The zone over UDP."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        query = dns.Message()
        query.fromStr(datagram)
        answer = self.zone.answer(query)
        if answer is not None and self.transport is not None:
            octets = answer.toStr()
            octets = octets[:2] + self.zone.garbage if self.zone.garbage is not None else octets
            self.transport.write(self.zone.bend(octets), addr)


class ZoneTCPServer(ServerFactory):
    """The zone over TCP; `gone` fires when the client has closed its connection."""

    noisy = False

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.gone: Deferred[None] = Deferred()

    def buildProtocol(self, addr: Any) -> dns.DNSProtocol:
        return dns.DNSProtocol(self)

    def connectionMade(self, protocol: dns.DNSProtocol) -> None:
        """The client is there."""

    def connectionLost(self, protocol: dns.DNSProtocol) -> None:
        self.gone.callback(None)

    def messageReceived(self, message: dns.Message, protocol: dns.DNSProtocol) -> None:
        answer = self.zone.answer(message)
        if answer is not None:
            protocol.writeMessage(answer)
