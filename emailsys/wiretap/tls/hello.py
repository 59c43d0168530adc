"""ClientHello and ServerHello: what a client offers, and what the server chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from emailsys.wiretap.conversation import Json
from emailsys.wiretap.tls.cursor import Cursor, Malformed
from emailsys.wiretap.tls.names import EXTENSIONS, GROUPS, SIGNATURES, TLS13, VERSIONS, name_in, shown
from emailsys.wiretap.tls.suites import is_grease, suite

#: RFC 8446 §4.1.3: the ServerHello with this random value asks for another ClientHello.
RETRY_RANDOM: Final = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")

SERVER_NAME: Final = 0
SUPPORTED_GROUPS: Final = 10
SIGNATURE_ALGORITHMS: Final = 13
ALPN: Final = 16
EXTENDED_MASTER_SECRET: Final = 23
SESSION_TICKET: Final = 35
PRE_SHARED_KEY: Final = 41
EARLY_DATA: Final = 42
SUPPORTED_VERSIONS: Final = 43
PSK_MODES: Final = 45
KEY_SHARE: Final = 51
RENEGOTIATION_INFO: Final = 65281
# Names of a list that an event holds. A hello may have thousands.
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The offer of a client (RFC 8446 §4.1.2). Lists are in the client's order. Empty: it did not say."""

    version: int
    random: bytes
    session_id: bytes
    suites: tuple[int, ...]
    compressions: tuple[int, ...]
    extensions: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    key_shares: tuple[int, ...] = ()
    signatures: tuple[int, ...] = ()
    server_name: str = ""
    protocols: tuple[str, ...] = ()
    has_ticket: bool = False
    has_psk: bool = False
    has_early_data: bool = False

    def details(self) -> dict[str, Json]:
        """Returns the hello for an event, with names instead of numbers."""
        versions = self.versions or (self.version,)
        found: dict[str, Json] = {
            "versions": [name_in(VERSIONS, code) for code in versions],
            "suites": [suite(code).name for code in self.suites[:_SHOWN]],
            "groups": [name_in(GROUPS, code) for code in self.groups[:_SHOWN]],
            "key_shares": [name_in(GROUPS, code) for code in self.key_shares[:_SHOWN]],
            "signatures": [name_in(SIGNATURES, code) for code in self.signatures[:_SHOWN]],
            "sni": self.server_name,
            "alpn": list(self.protocols[:_SHOWN]),
            "extensions": [name_in(EXTENSIONS, code) for code in self.extensions[:_SHOWN]],
            "compression": any(self.compressions),
            "resumption": "PSK" if self.has_psk else "ticket" if self.has_ticket else "",
            "early_data": self.has_early_data,
        }
        return {name: value for name, value in found.items() if value not in ([], "", False)}


@dataclass(frozen=True, slots=True)
class ServerHello:
    """The choice of a server (RFC 8446 §4.1.3). `version` is the version that is spoken from now on."""

    version: int
    random: bytes
    session_id: bytes
    suite: int
    compression: int
    extensions: tuple[int, ...] = ()
    group: int = 0
    protocol: str = ""
    has_psk: bool = False

    @property
    def is_retry(self) -> bool:
        """Whether it is a HelloRetryRequest: the client has to send another hello, with a key share of `group`."""
        return self.random == RETRY_RANDOM

    @property
    def name(self) -> str:
        """The name of the message."""
        return "HelloRetryRequest" if self.is_retry else "ServerHello"

    def details(self) -> dict[str, Json]:
        """Returns the hello for an event, with names instead of numbers."""
        found: dict[str, Json] = {
            "version": name_in(VERSIONS, self.version),
            "suite": suite(self.suite).name,
            "group": name_in(GROUPS, self.group) if self.group else "",
            "alpn": self.protocol,
            "extensions": [name_in(EXTENSIONS, code) for code in self.extensions[:_SHOWN]],
            "compression": self.compression != 0,
            "resumption": "PSK" if self.has_psk else "",
        }
        return {name: value for name, value in found.items() if value not in ([], "", False)}


@dataclass(slots=True)
class _Extensions:
    """The extensions of a hello by number; the first one of each counts."""

    octets: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: Cursor) -> _Extensions:
        found = cls()
        if cursor.is_at_end:
            return found
        within = Cursor(cursor.vector(2))
        while not within.is_at_end:
            number = within.number(2)
            found.octets.setdefault(number, within.vector(2))
        return found

    def numbers(self, number: int, size: int) -> tuple[int, ...]:
        octets = self.octets.get(number)
        return () if octets is None else Cursor(octets).numbers(size)


def parse_client_hello(body: bytes) -> ClientHello | None:
    """Returns the hello in a handshake message without its header, None if it is malformed."""
    try:
        return _client_hello(Cursor(body))
    except Malformed:
        return None


def parse_server_hello(body: bytes) -> ServerHello | None:
    """Returns the hello in a handshake message without its header, None if it is malformed."""
    try:
        return _server_hello(Cursor(body))
    except Malformed:
        return None


def _client_hello(cursor: Cursor) -> ClientHello:
    version, random, session_id = cursor.number(2), cursor.take(32), cursor.vector(1)
    suites, compressions = cursor.numbers(2), cursor.numbers(1, of=1)
    extensions = _Extensions.read(cursor)
    has = extensions.octets
    return ClientHello(
        version,
        random,
        session_id,
        suites,
        compressions,
        tuple(has),
        extensions.numbers(SUPPORTED_VERSIONS, 1),
        extensions.numbers(SUPPORTED_GROUPS, 2),
        _key_shares(has),
        extensions.numbers(SIGNATURE_ALGORITHMS, 2),
        _server_name(has),
        tuple(shown(name) for name in Cursor(has[ALPN]).vectors(2, 1)) if ALPN in has else (),
        bool(has.get(SESSION_TICKET)),
        PRE_SHARED_KEY in has,
        EARLY_DATA in has,
    )


def _key_shares(has: Mapping[int, bytes]) -> tuple[int, ...]:
    if KEY_SHARE not in has:
        return ()
    within, found = Cursor(Cursor(has[KEY_SHARE]).vector(2)), []
    while not within.is_at_end:
        found.append(within.number(2))
        within.vector(2)
    return tuple(found)


def _server_name(has: Mapping[int, bytes]) -> str:
    """RFC 6066 §3: a list of names, of which only host names (type 0) exist."""
    if not has.get(SERVER_NAME):
        return ""
    within = Cursor(Cursor(has[SERVER_NAME]).vector(2))
    while not within.is_at_end:
        kind, name = within.number(1), within.vector(2)
        if kind == 0:
            return shown(name)
    return ""


def _server_hello(cursor: Cursor) -> ServerHello:
    version, random, session_id = cursor.number(2), cursor.take(32), cursor.vector(1)
    chosen, compression = cursor.number(2), cursor.number(1)
    has = _Extensions.read(cursor).octets
    if SUPPORTED_VERSIONS in has:
        version = Cursor(has[SUPPORTED_VERSIONS]).number(2)
    group = 0
    if version >= TLS13 and KEY_SHARE in has:
        group = Cursor(has[KEY_SHARE]).number(2)
    protocols = Cursor(has[ALPN]).vectors(2, 1) if ALPN in has else ()
    return ServerHello(
        version,
        random,
        session_id,
        chosen,
        compression,
        tuple(has),
        group,
        shown(protocols[0]) if protocols else "",
        PRE_SHARED_KEY in has,
    )


def without_grease(codes: tuple[int, ...]) -> tuple[int, ...]:
    """Returns numbers without those that mean nothing (RFC 8701)."""
    return tuple(code for code in codes if not is_grease(code))
