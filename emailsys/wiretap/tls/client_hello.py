"""Writer of ClientHello messages that offer exactly what a test asks for, of versions that no library has any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.wiretap.tls.hello import (
    EXTENDED_MASTER_SECRET,
    KEY_SHARE,
    PSK_MODES,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
)
from emailsys.wiretap.tls.names import SIGNATURES, SSL3, TLS10, TLS12, TLS13

_RENEGOTIATION_SIGNAL: Final = 0x00FF  # RFC 5746 §3.3
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_POINT_FORMATS: Final = 11
_LONGEST_FRAGMENT: Final = 2**14  # octets, RFC 8446 §5.1
#: Groups that are offered unless a test says otherwise: those that servers are likely to have.
USUAL_GROUPS: Final = (29, 23, 24, 25, 30, 256, 257, 258, 259, 260, 26, 27, 28, 22, 19, 21)


@dataclass(frozen=True, slots=True)
class Offer:
    """The offer in a ClientHello.

    @ivar version: the only version of TLS that is offered.
    @ivar suites: numbers, the preferred one first.
    @ivar key_shares: for TLS 1.3, groups of 32 octets for which a key share is sent. Its secret is not kept.
    @ivar server_name: A-labels, or "" for none. Addresses are not allowed here (RFC 6066 §3).
    """

    version: int
    suites: Sequence[int]
    groups: Sequence[int] = USUAL_GROUPS
    key_shares: Sequence[int] = ()
    compressions: Sequence[int] = (0,)
    server_name: str = ""


def client_hello(offer: Offer, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Returns the records of a ClientHello, ready to be sent."""
    suites = [*offer.suites, *([_RENEGOTIATION_SIGNAL] if offer.version < TLS13 else [])]
    body = min(offer.version, TLS12).to_bytes(2, "big") + random(32)
    # RFC 8446 §D.4: a session id makes devices in between take TLS 1.3 for the resumption of an older session.
    body += _vector(random(32) if offer.version >= TLS13 else b"", 1)
    body += _vector(_numbers(suites), 2) + _vector(bytes(offer.compressions), 1)
    if offer.version > SSL3:
        body += _vector(b"".join(_extensions(offer, random)), 2)
    message = bytes((_CLIENT_HELLO, *len(body).to_bytes(3, "big"))) + body
    # Servers compare the version of the first record with nothing, but some refuse one above TLS 1.0.
    version = min(offer.version, TLS10).to_bytes(2, "big")
    return b"".join(
        bytes((_HANDSHAKE,)) + version + _vector(message[at : at + _LONGEST_FRAGMENT], 2)
        for at in range(0, len(message), _LONGEST_FRAGMENT)
    )


def _extensions(offer: Offer, random: Callable[[int], bytes]) -> list[bytes]:
    found = []
    if offer.server_name:
        name = b"\0" + _vector(offer.server_name.encode("ascii"), 2)
        found.append(_extension(SERVER_NAME, _vector(name, 2)))
    if offer.groups:
        found.append(_extension(SUPPORTED_GROUPS, _vector(_numbers(offer.groups), 2)))
        found.append(_extension(_POINT_FORMATS, _vector(b"\0", 1)))
    if offer.version >= TLS12:
        found.append(_extension(SIGNATURE_ALGORITHMS, _vector(_numbers(SIGNATURES), 2)))
    if offer.version < TLS13:
        found.append(_extension(SESSION_TICKET, b""))
        found.append(_extension(EXTENDED_MASTER_SECRET, b""))
        return found
    found.append(_extension(SUPPORTED_VERSIONS, _vector(_numbers([offer.version]), 1)))
    found.append(_extension(PSK_MODES, _vector(b"\1", 1)))
    shares = b"".join(group.to_bytes(2, "big") + _vector(random(32), 2) for group in offer.key_shares)
    found.append(_extension(KEY_SHARE, _vector(shares, 2)))
    return found


def _extension(number: int, octets: bytes) -> bytes:
    return number.to_bytes(2, "big") + _vector(octets, 2)


def _vector(octets: bytes, size: int) -> bytes:
    return len(octets).to_bytes(size, "big") + octets


def _numbers(codes: Iterable[int]) -> bytes:
    return b"".join(code.to_bytes(2, "big") for code in codes)
