"""DNS lookups with a cache. Time, number of answers and number of aliases are limited."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.names import client, dns
from twisted.names.error import DNSNameError, DNSServerError, DomainError, ResolverError
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.mail.reply import Reply
from emailsys.upstream import SocketPerQuery

# Seconds after which a query is repeated. Each name server is queried before the next delay.
_RETRIES: Final = (1, 2, 4, 8)
# RFC 5321 §5.1 does not limit aliases. BIND follows sixteen.
_MAX_ALIASES: Final = 16
# Seconds. RFC 2181 §8 allows 68 years, RFC 2308 §5 recommends some hours for negative answers.
_MAX_TTL: Final = 6 * 3600
_MAX_NEGATIVE_TTL: Final = 900
_DEFAULT_NEGATIVE_TTL: Final = 60
_MAX_CACHED: Final = 20_000
_KINDS: Final = {dns.A: "A", dns.AAAA: "AAAA", dns.MX: "MX", dns.SRV: "SRV"}


@dataclass(frozen=True, slots=True)
class DNSRecords:
    """The result of a lookup: the payloads of the records, empty if the name has none of that kind."""

    records: tuple[Any, ...]
    #: Whether the name exists.
    exists: bool = True


def _answer_in(octets: bytes) -> dns.Message | None:
    """Decode an answer that has all records announced in its header (RFC 1035 §4.1.1), or is marked as truncated.

    The stock decoder accepts an incomplete answer as one with fewer records. Without records it would mean that a
    domain has no hosts.
    """
    message = dns.Message()
    try:
        message.fromStr(octets)
    except Exception:
        return None
    promised = struct.unpack("!3H", octets[4:10])
    found = (len(message.queries), len(message.answers), len(message.authority))
    return message if message.answer and (message.trunc or promised == found) else None


def _is_about(message: dns.Message, queries: Sequence[dns.Query]) -> bool:
    """Whether an answer belongs to a query (RFC 5452 §9.1). Some error answers do not repeat the question."""
    if not message.queries:
        return message.rCode not in (dns.OK, dns.ENAME)
    return [_question(query) for query in message.queries] == [_question(query) for query in queries]


def _question(query: dns.Query) -> tuple[str, int, int]:
    return _name_of(query.name), query.type, query.cls


class _Datagrams(dns.DNSDatagramProtocol):
    """The stock protocol leaves timers behind, accepts any answer with the right id, and logs malformed datagrams."""

    # Otherwise Twisted logs each query. LogWriter drops the lines about the socket.
    noisy = False

    _queries: Sequence[dns.Query] = ()

    @override
    def query(
        self, address: tuple[str, int], queries: list[dns.Query], timeout: float = 10, id: int | None = None
    ) -> Deferred[dns.Message]:
        self._queries = queries
        return super().query(address, queries, timeout, id)

    @override
    def datagramReceived(self, data: bytes, addr: tuple[str, int]) -> None:
        # A malformed answer is ignored. The query is repeated until its time is over.
        answer = _answer_in(data)
        if answer is not None and _is_about(answer, self._queries):
            super().datagramReceived(data, addr)

    @override
    def stopProtocol(self) -> None:
        _cancel_timers(self)
        super().stopProtocol()


def _cancel_timers(protocol: dns.DNSMixin) -> None:
    for _, call in protocol.liveMessages.values():
        if call.active():
            call.cancel()


class _Stream(dns.DNSProtocol):
    """The stock protocol accepts an incomplete answer as complete."""

    @override
    def stringReceived(self, data: bytes) -> None:
        if _answer_in(data) is not None:
            super().stringReceived(data)


class _TCPFactory(client.DNSClientFactory):
    """The stock factory uses the global reactor."""

    def __init__(self, controller: client.Resolver, reactor: Any) -> None:
        super().__init__(controller, 10)
        self._reactor = reactor

    @override
    def buildProtocol(self, addr: object) -> dns.DNSProtocol:
        protocol = _Stream(self.controller, reactor=self._reactor)
        protocol.factory = self
        return protocol


class _Resolver(SocketPerQuery, client.Resolver):
    """The stock resolver repeats a query forever if the answer is truncated over TCP too."""

    def __init__(self, servers: Sequence[tuple[str, int]], reactor: Any) -> None:
        super().__init__(servers=list(servers), timeout=_RETRIES, reactor=reactor)
        self.factory = _TCPFactory(self, reactor)
        self._sockets = reactor

    @override
    def open_socket(self, interface: str) -> dns.DNSDatagramProtocol:
        """Open a socket for one query, so that a forged answer must also guess its port."""
        protocol = _Datagrams(self, reactor=self._sockets)
        self._sockets.listenUDP(0, protocol, interface=interface, maxPacketSize=4096)
        return protocol

    @override
    def filterAnswers(self, message: dns.Message) -> Any:
        if message.trunc:
            return self.queryTCP(message.queries).addCallback(self._whole)
        return super().filterAnswers(message)

    def _whole(self, message: dns.Message) -> Any:
        if message.trunc:
            return Failure(DNSServerError(message))
        return super().filterAnswers(message)

    @override
    def messageReceived(self, message: object, protocol: object, address: object = None) -> None:
        """Ignore an answer to an unknown or abandoned query."""

    def close(self) -> None:
        """Close all open connections."""
        for connection in list(self.connections):
            _cancel_timers(connection)
            connection.transport.loseConnection()


def _written_out(address: str) -> str:
    """Normalize an IP address, because answers must come from the address of the query. All zeros is this machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.is_unspecified:
        return "127.0.0.1" if parsed.version == 4 else "::1"
    return str(parsed)


def system_name_servers(path: Path = Path("/etc/resolv.conf")) -> tuple[tuple[str, int], ...]:
    """Return the name servers of resolv.conf(5), or 127.0.0.1 if it has none."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = (line.split() for line in lines)
    found = tuple((pair[1], dns.PORT) for pair in words if len(pair) > 1 and pair[0] == "nameserver")
    return found or (("127.0.0.1", dns.PORT),)


def _reason(error: Exception) -> str:
    """Describe why a query could not be sent. The text may reach the sender of a message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"


def _transient(name: str, kind: int, why: str) -> Reply:
    return Reply(451, "4.4.3", f"{_KINDS[kind]} of {name} could not be looked up: {why}")


class NameServers:
    """Lookups of A, AAAA, MX and SRV."""

    def __init__(self, reactor: Any, servers: Sequence[tuple[str, int]]) -> None:
        """@param reactor: IReactorUDP, IReactorTCP and IReactorTime. @param servers: address and port of each."""
        self._reactor = reactor
        self._resolver = _Resolver([(_written_out(address), port) for address, port in servers], reactor)
        self._cache: dict[tuple[str, int], tuple[float, DNSRecords]] = {}

    def close(self) -> None:
        """Close all open connections."""
        self._resolver.close()

    async def look_up(self, name: str, kind: int, until: float) -> DNSRecords | Reply:
        """Return the records of a name, following aliases; a 4xx Reply if the lookup failed temporarily.

        @param name: A-labels.
        @param kind: dns.A, dns.AAAA, dns.MX or dns.SRV.
        @param until: the time to give up, by the reactor's clock.
        """
        name = name.lower().rstrip(".")
        now = self._reactor.seconds()
        cached = self._cache.get((name, kind))
        if cached is not None and cached[0] > now:
            return cached[1]
        found = await self._follow(name, kind, until)
        if isinstance(found, Reply):
            return found
        answer, seconds = found
        self._keep((name, kind), answer, now + seconds)
        return answer

    def _keep(self, key: tuple[str, int], found: DNSRecords, until: float) -> None:
        self._cache.pop(key, None)
        if len(self._cache) >= _MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        if until > self._reactor.seconds():
            self._cache[key] = (until, found)

    async def _follow(self, name: str, kind: int, until: float) -> tuple[DNSRecords, float] | Reply:
        """Query, and follow aliases that lead out of the answer. Returns the result and its TTL in seconds."""
        target, seconds = name, float(_MAX_TTL)
        for _ in range(_MAX_ALIASES):
            answer = await self._ask(target, kind, until)
            if isinstance(answer, Reply):
                return answer
            message, exists = answer
            reached, wanted, ttl = _read(message[0], target, kind)
            if reached is None:
                return _transient(name, kind, "its aliases lead round in a circle")
            seconds = min(seconds, ttl)
            if wanted:
                return DNSRecords(wanted), seconds
            if reached == target or not exists:
                return DNSRecords((), exists), min(seconds, _negative_ttl(message[1]))
            target = reached
        return _transient(name, kind, f"more than {_MAX_ALIASES} aliases")

    async def _ask(self, name: str, kind: int, until: float) -> tuple[tuple[Any, Any], bool] | Reply:
        left = until - self._reactor.seconds()
        if left <= 0:
            return _transient(name, kind, "no answer in time")
        lookups = {
            dns.A: self._resolver.lookupAddress,
            dns.AAAA: self._resolver.lookupIPV6Address,
            dns.MX: self._resolver.lookupMailExchange,
            dns.SRV: self._resolver.lookupService,
        }
        try:
            asked: Deferred[Any] = lookups[kind](name)
            answers, authority, _ = await asked.addTimeout(left, self._reactor)
        except DNSNameError as error:
            message = error.args[0] if error.args else None
            return (getattr(message, "answers", ()), getattr(message, "authority", ())), False
        except CancelledError:
            raise
        except (DeferredTimeout, ConnectTimeout, ResolverError):
            return _transient(name, kind, "no answer in time")
        except DomainError as error:
            code = getattr(error.args[0] if error.args else None, "rCode", dns.OK)
            words = {dns.ESERVER: "SERVFAIL", dns.EREFUSED: "REFUSED", dns.EFORMAT: "FORMERR", dns.ENOTIMP: "NOTIMP"}
            return _transient(name, kind, f"the name server answers {words.get(code, 'an answer that is cut off')}")
        except Exception as error:
            # The answer is malformed, or the query could not be sent. Both may be temporary.
            return _transient(name, kind, _reason(error))
        return (answers, authority), True


def _name_of(name: dns.Name) -> str:
    return name.name.decode("ascii", "backslashreplace").lower().rstrip(".")


def _read(answers: Sequence[Any], name: str, kind: int) -> tuple[str | None, tuple[Any, ...], float]:
    """Return the target of the aliases in an answer (None: a loop), its records, and the smallest TTL."""
    aliases: dict[str, tuple[str, float]] = {}
    records: dict[str, list[tuple[Any, float]]] = {}
    for record in answers:
        if record.cls != dns.IN or record.payload is None:
            continue
        if record.type == dns.CNAME:
            aliases[_name_of(record.name)] = (_name_of(record.payload.name), record.ttl)
        elif record.type == kind:
            records.setdefault(_name_of(record.name), []).append((record.payload, record.ttl))
    seconds = float(_MAX_TTL)
    seen = {name}
    while name not in records and name in aliases:
        name, ttl = aliases[name]
        seconds = min(seconds, ttl)
        if name in seen:
            return None, (), seconds
        seen.add(name)
    found = records.get(name, [])
    return name, tuple(payload for payload, _ in found), min([seconds, *(float(ttl) for _, ttl in found)])


def _negative_ttl(authority: Sequence[Any]) -> float:
    """Return the TTL of a negative answer in seconds (RFC 2308 §5)."""
    for record in authority:
        if record.type == dns.SOA and record.payload is not None:
            return float(min(record.ttl, record.payload.minimum, _MAX_NEGATIVE_TTL))
    return _DEFAULT_NEGATIVE_TTL
