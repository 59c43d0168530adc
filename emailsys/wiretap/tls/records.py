"""Records of TLS and the handshake messages in them, cut out of the octets of one direction."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

_HEADER: Final = 5  # octets, RFC 8446 §5.1
# RFC 5246 §6.2.3: 2^14 octets of text and 2,048 of what compression and encryption add.
_LONGEST_RECORD: Final = 2**14 + 2048
_MESSAGE_HEADER: Final = 4  # octets, RFC 8446 §4
# Octets. OpenSSL refuses chains of more than 100 KiB; with ML-DSA and compression undone they may grow.
LONGEST_MESSAGE: Final = 2**18


class RecordType(enum.IntEnum):
    """The content types of records."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24


@dataclass(frozen=True, slots=True)
class Record:
    """A record: its type, its version field, its octets without header, as they were on the wire."""

    type: RecordType
    version: int
    body: bytes

    @property
    def octets(self) -> int:
        """The size on the wire."""
        return _HEADER + len(self.body)

    @property
    def header(self) -> bytes:
        """The five octets before the body. TLS 1.3 authenticates them (RFC 8446 §5.2)."""
        return bytes((self.type, *self.version.to_bytes(2, "big"), *len(self.body).to_bytes(2, "big")))


class RecordReader:
    """Cuts a stream into records. Holds at most one incomplete record. Never raises, whatever the octets are.

    @ivar flaw: why the stream is no TLS. "" while it is. After a flaw nothing more is read.
    """

    def __init__(self) -> None:
        self.flaw = ""
        self._rest = b""

    def feed(self, octets: bytes) -> list[Record]:
        """Returns the records that are complete now."""
        found: list[Record] = []
        if self.flaw:
            return found
        stream = self._rest + octets
        at = 0
        while len(stream) - at >= _HEADER:
            length = int.from_bytes(stream[at + 3 : at + 5], "big")
            self.flaw = _flaw(stream[at], stream[at + 1], length)
            if self.flaw:
                self._rest = b""
                return found
            end = at + _HEADER + length
            if end > len(stream):
                break
            version = int.from_bytes(stream[at + 1 : at + 3], "big")
            found.append(Record(RecordType(stream[at]), version, stream[at + _HEADER : end]))
            at = end
        self._rest = stream[at:]
        return found


def _flaw(kind: int, major: int, length: int) -> str:
    if kind not in RecordType.__members__.values():
        return f"octet {kind} is no type of a TLS record"
    if major != 3:
        return f"{major} is no version of a TLS record"
    return f"a record of {length} octets is too long" if length > _LONGEST_RECORD else ""


@dataclass(frozen=True, slots=True)
class Message:
    """A handshake message. `body` is without its header of four octets."""

    type: int
    body: bytes

    @property
    def octets(self) -> int:
        """The size without the records that carry it."""
        return _MESSAGE_HEADER + len(self.body)

    @property
    def wire(self) -> bytes:
        """The message as it was sent, with its header."""
        return bytes((self.type, *len(self.body).to_bytes(3, "big"))) + self.body


class MessageReader:
    """Joins the fragments of handshake messages. Never raises.

    @ivar flaw: why there is no further message. "" while there may be.
    """

    def __init__(self) -> None:
        self.flaw = ""
        self._rest = bytearray()

    def feed(self, fragment: bytes) -> list[Message]:
        """Returns the messages that are complete now."""
        found: list[Message] = []
        if self.flaw:
            return found
        self._rest += fragment
        at = 0
        while len(self._rest) - at >= _MESSAGE_HEADER:
            length = int.from_bytes(self._rest[at + 1 : at + 4], "big")
            if length > LONGEST_MESSAGE:
                self.flaw = f"a handshake message of {length} octets is too long"
                self._rest.clear()
                return found
            end = at + _MESSAGE_HEADER + length
            if end > len(self._rest):
                break
            found.append(Message(self._rest[at], bytes(self._rest[at + _MESSAGE_HEADER : end])))
            at = end
        del self._rest[:at]
        return found
