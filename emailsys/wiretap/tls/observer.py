"""An observer of one TLS connection: it turns the octets of both directions into events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from emailsys.wiretap.conversation import Direction, Event, Json, Kind, Role
from emailsys.wiretap.tls.flight import (
    parse_certificates,
    parse_key_exchange,
    parse_lifetime,
    parse_protocol,
    parse_signature,
)
from emailsys.wiretap.tls.handshake import Handshake
from emailsys.wiretap.tls.hello import ClientHello, ServerHello, parse_client_hello, parse_server_hello
from emailsys.wiretap.tls.keys import (
    CLIENT_APPLICATION,
    CLIENT_HANDSHAKE,
    SERVER_APPLICATION,
    SERVER_HANDSHAKE,
    KeyLog,
    TrafficKey,
)
from emailsys.wiretap.tls.names import ALERTS, MESSAGES, SIGNATURES, TLS12, TLS13, name_in
from emailsys.wiretap.tls.records import Message, MessageReader, Record, RecordReader, RecordType

# Events of one handshake. A usual one has a dozen; a peer may send empty messages forever.
_MOST_EVENTS: Final = 64
# Records of a direction that wait for the key log. A flight with a long chain has five.
_MOST_WAITING: Final = 32
_ALERT_LEVELS: Final = {1: "warning", 2: "fatal"}
_FINISHED: Final = 20


@dataclass(slots=True)
class _Sender:
    """The octets that one side has sent, and how far they were read."""

    is_client: bool
    direction: Direction
    records: RecordReader = field(default_factory=RecordReader)
    messages: MessageReader = field(default_factory=MessageReader)
    #: Records that cannot be opened before the key log has come.
    waiting: list[tuple[Record, float]] = field(default_factory=list)
    key: TrafficKey | None = None
    #: Octets of the wire that belong to the next message: headers of records, tags, padding.
    overhead: int = 0
    #: Whether ChangeCipherSpec was sent: before TLS 1.3 everything after it is encrypted.
    is_encrypted: bool = False
    has_finished: bool = False
    #: Whether nothing that it sends is looked at any more.
    is_over: bool = False


class TLSObserver:
    """Reads a handshake from the octets of both directions and, for TLS 1.3, the lines of a key log.

    Each method returns the new events, in the order of the wire. None of them ever raises because of what a peer sent.
    Memory is bounded: see the limits of this module and of `records`.
    """

    def __init__(self, role: Role) -> None:
        """
        @param role: which side this host is.
        """
        client = Direction.OUT if role is Role.CLIENT else Direction.IN
        server = Direction.IN if role is Role.CLIENT else Direction.OUT
        self._client = _Sender(True, client)
        self._server = _Sender(False, server)
        self._keys = KeyLog()
        self._hello: ClientHello | None = None
        self._count = 0
        self._has_told = False
        #: What was agreed on so far.
        self.handshake = Handshake()
        #: Why the octets are no TLS; "" while they are.
        self.flaw = ""

    @property
    def is_over(self) -> bool:
        """Whether the handshake and the tickets after it are over. Octets that are fed now cost nothing."""
        return self._client.is_over and self._server.is_over

    def feed(self, direction: Direction, octets: bytes, at: float) -> list[Event]:
        """Reads octets of the wire.

        @param at: seconds since the conversation began.
        """
        sender = self._client if direction is self._client.direction else self._server
        found: list[Event] = []
        if sender.is_over:
            return found
        for record in sender.records.feed(octets):
            self._record(sender, record, at, found)
            if sender.is_over:
                break
        self._check(sender, at, found)
        return found

    def key_log(self, line: bytes) -> list[Event]:
        """Reads a line of the key log, in the form of SSLKEYLOGFILE. Lines of other connections are ignored.

        The secret stays in memory until the handshake is over.
        """
        found: list[Event] = []
        if not self.is_over and self._keys.add(line):
            for sender in (self._server, self._client):
                self._open_waiting(sender, found)
        return found

    def established(self, at: float) -> list[Event]:
        """Tells that the TLS library regards the handshake as complete. Without a key log, only it knows.

        Records that no key has opened become events with their size only.
        """
        found: list[Event] = []
        for sender in (self._server, self._client):
            self._give_up(sender, found)
        self._tell(at, found)
        return found

    def finish(self) -> list[Event]:
        """Tells that the connection is closed: what was not opened becomes events with its size only."""
        found: list[Event] = []
        for sender in (self._server, self._client):
            self._give_up(sender, found)
            sender.is_over = True
        self._keys.clear()
        return found

    def _give_up(self, sender: _Sender, found: list[Event]) -> None:
        for record, at in sender.waiting:
            self._event(found, sender, at, "encrypted record", record.octets, {"encrypted": True})
        sender.waiting.clear()

    def _check(self, sender: _Sender, at: float, found: list[Event]) -> None:
        flaw = sender.records.flaw or sender.messages.flaw
        if flaw and not sender.is_over:
            sender.is_over = True
            self.flaw = self.flaw or flaw
            self._event(found, sender, at, f"not understood: {flaw}", 0, {"error": flaw})

    def _record(self, sender: _Sender, record: Record, at: float, found: list[Event]) -> None:
        if sender.waiting:
            self._wait(sender, record, at, found)
            return
        is_tls13 = self.handshake.version_code >= TLS13
        match record.type:
            case RecordType.CHANGE_CIPHER_SPEC:
                self._change_cipher_spec(sender, record, at, found, is_tls13)
            case RecordType.APPLICATION_DATA if not is_tls13 and not self._may_be_early(sender):
                sender.is_over = True
                self._tell(at, found)
            case RecordType.APPLICATION_DATA:
                self._encrypted(sender, record, at, found)
            case RecordType.ALERT:
                sealed = sender.is_encrypted and not is_tls13
                self._alert(sender, b"" if sealed else record.body, record.octets, at, found)
            case RecordType.HANDSHAKE if sender.is_encrypted and not is_tls13:
                self._sealed_message(sender, record, at, found)
            case RecordType.HANDSHAKE:
                sender.overhead += record.octets - len(record.body)
                self._fragment(sender, record.body, at, found)
            case _:
                self._event(found, sender, at, record.type.name.lower(), record.octets, {})

    def _may_be_early(self, sender: _Sender) -> bool:
        """Whether application data may come before the version is known: early data of a client (RFC 8446 §4.2.10)."""
        return sender.is_client and self._hello is not None and self._hello.has_early_data

    def _change_cipher_spec(
        self, sender: _Sender, record: Record, at: float, found: list[Event], is_tls13: bool
    ) -> None:
        sender.is_encrypted = True
        words = "without meaning in TLS 1.3 (RFC 8446 §D.4)" if is_tls13 else "from now on encrypted"
        if not is_tls13 and not sender.is_client and self._hello is not None and not self._was_keyed():
            # RFC 5246 §7.3: a server that resumes a session sends neither certificate nor key.
            self.handshake = replace(self.handshake, resumed=True)
        self._event(found, sender, at, "ChangeCipherSpec", record.octets, {"meaning": words})

    def _was_keyed(self) -> bool:
        return bool(self.handshake.certificates or self.handshake.group or self._client.is_encrypted)

    def _sealed_message(self, sender: _Sender, record: Record, at: float, found: list[Event]) -> None:
        """Before TLS 1.3: the first encrypted message is Finished, later ones are of a renegotiation."""
        name = "encrypted record" if sender.has_finished else MESSAGES[_FINISHED]
        sender.has_finished = True
        self._event(found, sender, at, name, record.octets, {"encrypted": True})
        if self._server.has_finished and self._client.has_finished:
            self._tell(at, found)

    def _encrypted(self, sender: _Sender, record: Record, at: float, found: list[Event]) -> None:
        """A record of TLS 1.3 whose type is hidden."""
        if sender.key is None:
            self._next_key(sender)
        if sender.key is None:
            if self._has_told or sender.has_finished:
                sender.is_over = True
            else:
                self._wait(sender, record, at, found)
            return
        opened = sender.key.open(record)
        if opened is None:
            if sender.is_client and self._hello is not None and self._hello.has_early_data and not sender.has_finished:
                self._event(found, sender, at, "early data", record.octets, {"encrypted": True})
            else:
                sender.is_over = True
            return
        kind, text = opened
        if kind == RecordType.HANDSHAKE:
            sender.overhead += record.octets - len(text)
            self._fragment(sender, text, at, found)
        elif kind == RecordType.ALERT:
            self._alert(sender, text, record.octets, at, found)
        else:
            sender.is_over = True

    def _next_key(self, sender: _Sender) -> None:
        if self._hello is None:
            return
        labels = (CLIENT_HANDSHAKE, CLIENT_APPLICATION) if sender.is_client else (SERVER_HANDSHAKE, SERVER_APPLICATION)
        sender.key = self._keys.key(labels[sender.has_finished], self._hello.random, self.handshake.suite_code)

    def _wait(self, sender: _Sender, record: Record, at: float, found: list[Event]) -> None:
        if len(sender.waiting) >= _MOST_WAITING:
            self._give_up(sender, found)
            sender.is_over = True
        else:
            sender.waiting.append((record, at))

    def _open_waiting(self, sender: _Sender, found: list[Event]) -> None:
        if not sender.waiting or sender.key is not None:
            return
        self._next_key(sender)
        waiting = sender.waiting
        if sender.key is None:
            return
        sender.waiting = []
        for record, at in waiting:
            if not sender.is_over:
                self._record(sender, record, at, found)
        self._check(sender, waiting[-1][1], found)

    def _alert(self, sender: _Sender, body: bytes, octets: int, at: float, found: list[Event]) -> None:
        if len(body) != 2:
            self._event(found, sender, at, "alert", octets, {"encrypted": True})
            return
        level, name = _ALERT_LEVELS.get(body[0], str(body[0])), name_in(ALERTS, body[1])
        self._event(found, sender, at, f"alert {name}", octets, {"level": level, "alert": name})

    def _fragment(self, sender: _Sender, octets: bytes, at: float, found: list[Event]) -> None:
        was_encrypted = sender.key is not None
        for message in sender.messages.feed(octets):
            if sender.is_over:
                return
            details: dict[str, Json] = {"encrypted": True} if was_encrypted else {}
            details["message_octets"] = message.octets
            name, more = self._message(sender, message)
            details.update(more)
            size, sender.overhead = message.octets + sender.overhead, 0
            self._event(found, sender, at, name, size, details)
            if message.type == _FINISHED:
                sender.has_finished = True
                sender.key = None
                if self._client.has_finished and self._server.has_finished:
                    self._tell(at, found)
                sender.is_over = sender.is_over or sender.is_client

    def _message(self, sender: _Sender, message: Message) -> tuple[str, dict[str, Json]]:
        """Returns the name and the details of a handshake message, and takes note of what it says."""
        name = name_in(MESSAGES, message.type)
        body, version, now = message.body, self.handshake.version_code, self.handshake
        match name, sender.is_client:
            case "ClientHello", True:
                hello = parse_client_hello(body)
                if hello is None:
                    return name, _UNREADABLE
                self._hello = hello
                self.handshake = now.with_client_hello(hello)
                return name, hello.details()
            case "ServerHello", False:
                chosen = parse_server_hello(body)
                return (name, _UNREADABLE) if chosen is None else self._server_hello(chosen)
            case "Certificate", _:
                chain = parse_certificates(body, version)
                if sender.is_client:
                    self.handshake = replace(now, client_certificates=chain)
                else:
                    self.handshake = replace(now, certificates=chain)
                return name, {"certificates": len(chain), "sizes": [len(der) for der in chain]}
            case "ServerKeyExchange", False:
                sent = parse_key_exchange(body, version, now.suite_code)
                if sent is None:
                    return name, {}
                self.handshake = now.with_key_exchange(sent)
                return name, {"group": sent.group_name, "signature": sent.signature_name}
            case "CertificateVerify", _ if version >= TLS12:
                scheme = parse_signature(body)
                if not sender.is_client:
                    self.handshake = replace(now, signature_code=scheme)
                return name, {"signature": name_in(SIGNATURES, scheme)}
            case "EncryptedExtensions", False:
                self.handshake = replace(now, alpn=parse_protocol(body))
                return name, {"alpn": self.handshake.alpn} if self.handshake.alpn else {}
            case "NewSessionTicket", False:
                return name, {"lifetime": parse_lifetime(body)}
        return name, {}

    def _server_hello(self, chosen: ServerHello) -> tuple[str, dict[str, Json]]:
        self.handshake = self.handshake.with_server_hello(chosen)
        return chosen.name, chosen.details()

    def _tell(self, at: float, found: list[Event]) -> None:
        """Adds the event that TLS is established, once."""
        if self._has_told or not self.handshake.version_code:
            return
        self._has_told = True
        found.append(Event(at, Kind.SECURED, self.handshake.summary(), details=self.handshake.details()))

    def _event(
        self, found: list[Event], sender: _Sender, at: float, text: str, octets: int, details: dict[str, Json]
    ) -> None:
        self._count += 1
        if self._count > _MOST_EVENTS:
            self._client.is_over = self._server.is_over = True
            return
        found.append(Event(at, Kind.TLS, text, sender.direction, octets, details))


_UNREADABLE: Final[dict[str, Json]] = {"error": "the message is malformed"}
