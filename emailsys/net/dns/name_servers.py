"""Ask name servers for one kind of record: bounded in time, in answers and in aliases, with a cache bounded by TTL."""

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

# Seconds after which a question is asked again; with several name servers, each is asked before the next.
_RETRIES: Final = (1, 2, 4, 8)
# RFC 5321 §5.1 sets no bound on aliases; BIND follows sixteen.
_MAX_ALIASES: Final = 16
# Seconds. RFC 2181 §8 allows 68 years, RFC 2308 §5 advises some hours for what does not exist.
_MAX_TTL: Final = 6 * 3600
_MAX_NEGATIVE_TTL: Final = 900
_DEFAULT_NEGATIVE_TTL: Final = 60
_MAX_CACHED: Final = 20_000
_KINDS: Final = {dns.A: "A", dns.AAAA: "AAAA", dns.MX: "MX", dns.SRV: "SRV"}


@dataclass(frozen=True, slots=True)
class Found:
    """What name servers have: payloads of records, none where the name has none of that kind."""

    records: tuple[Any, ...]
    #: Whether the name exists at all.
    exists: bool = True


def _answer_in(octets: bytes) -> dns.Message | None:
    """An answer with all the records that its header promises (RFC 1035 §4.1.1), or one that says that it is cut off.

    The stock decoder takes what ends too early for an answer with fewer records, and with none it would mean that a
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
    """Whether an answer is one to that question (RFC 5452 §9.1); some that tell of trouble repeat none."""
    if not message.queries:
        return message.rCode not in (dns.OK, dns.ENAME)
    return [_question(query) for query in message.queries] == [_question(query) for query in queries]


def _question(query: dns.Query) -> tuple[str, int, int]:
    return _name_of(query.name), query.type, query.cls


class _Datagrams(dns.DNSDatagramProtocol):
    """The stock one leaves its timers behind, takes any answer of its number for ours, and tells the log of what is no
    DNS."""

    # Else each question is told in the log; what the reactor says of its socket, LogWriter leaves out.
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
        # What can't be read is no answer: the question is asked again, until its time is over.
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
    """The stock one takes an answer that ends too early for a whole one."""

    @override
    def stringReceived(self, data: bytes) -> None:
        if _answer_in(data) is not None:
            super().stringReceived(data)


class _TCPFactory(client.DNSClientFactory):
    """The stock one takes the global reactor."""

    def __init__(self, controller: client.Resolver, reactor: Any) -> None:
        super().__init__(controller, 10)
        self._reactor = reactor

    @override
    def buildProtocol(self, addr: object) -> dns.DNSProtocol:
        protocol = _Stream(self.controller, reactor=self._reactor)
        protocol.factory = self
        return protocol


class _Resolver(SocketPerQuery, client.Resolver):
    """The stock one asks for ever where an answer is cut off over TCP too."""

    def __init__(self, servers: Sequence[tuple[str, int]], reactor: Any) -> None:
        super().__init__(servers=list(servers), timeout=_RETRIES, reactor=reactor)
        self.factory = _TCPFactory(self, reactor)
        self._sockets = reactor

    @override
    def open_socket(self, interface: str) -> dns.DNSDatagramProtocol:
        """A socket for one question, so that an answer must guess its port too."""
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
        """An answer to no question, or to one that was given up."""

    def close(self) -> None:
        """Close what is kept open."""
        for connection in list(self.connections):
            _cancel_timers(connection)
            connection.transport.loseConnection()


def _written_out(address: str) -> str:
    """An IP address as the system writes it, as answers must come from where questions went; all zeros is this
    machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.is_unspecified:
        return "127.0.0.1" if parsed.version == 4 else "::1"
    return str(parsed)


def system_name_servers(path: Path = Path("/etc/resolv.conf")) -> tuple[tuple[str, int], ...]:
    """The name servers of resolv.conf(5); this machine's own where it names none."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = (line.split() for line in lines)
    found = tuple((pair[1], dns.PORT) for pair in words if len(pair) > 1 and pair[0] == "nameserver")
    return found or (("127.0.0.1", dns.PORT),)


def _reason(error: Exception) -> str:
    """Why a question could not be sent, in words that may reach the sender of a message."""
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
        self._cache: dict[tuple[str, int], tuple[float, Found]] = {}

    def close(self) -> None:
        """Close what is kept open."""
        self._resolver.close()

    async def look_up(self, name: str, kind: int, until: float) -> Found | Reply:
        """The records of a name, aliases followed. A Reply, 4xx, where it is not known now.

        @param name: A-labels.
        @param kind: dns.A, dns.AAAA, dns.MX or dns.SRV.
        @param until: when to give up, by the reactor's clock.
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

    def _keep(self, key: tuple[str, int], found: Found, until: float) -> None:
        self._cache.pop(key, None)
        if len(self._cache) >= _MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        if until > self._reactor.seconds():
            self._cache[key] = (until, found)

    async def _follow(self, name: str, kind: int, until: float) -> tuple[Found, float] | Reply:
        """Ask, and ask again where an alias leads out of the answer. What was found, and its TTL in seconds."""
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
                return Found(wanted), seconds
            if reached == target or not exists:
                return Found((), exists), min(seconds, _negative_ttl(message[1]))
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
            # What came is no DNS, or could not be sent: whatever it is, it may be better later.
            return _transient(name, kind, _reason(error))
        return (answers, authority), True


def _name_of(name: dns.Name) -> str:
    return name.name.decode("ascii", "backslashreplace").lower().rstrip(".")


def _read(answers: Sequence[Any], name: str, kind: int) -> tuple[str | None, tuple[Any, ...], float]:
    """Of an answer, where the aliases lead to (None: in a circle), the records there, and the smallest TTL."""
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
    """How long it may be remembered that there is nothing (RFC 2308 §5)."""
    for record in authority:
        if record.type == dns.SOA and record.payload is not None:
            return float(min(record.ttl, record.payload.minimum, _MAX_NEGATIVE_TTL))
    return _DEFAULT_NEGATIVE_TTL
