"""The other messages of a server: certificates, key exchange, signatures, tickets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emailsys.wiretap.tls.cursor import Cursor, Malformed
from emailsys.wiretap.tls.hello import ALPN
from emailsys.wiretap.tls.names import GROUPS, SIGNATURES, TLS12, TLS13, name_in, shown
from emailsys.wiretap.tls.suites import suite

_NAMED_CURVE: Final = 3  # RFC 8422 §5.4
# Certificates of a chain. OpenSSL verifies at most 100.
_LONGEST_CHAIN: Final = 100
_BEFORE_TLS12: Final = "MD5 and SHA-1"


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """The group and the signature of a ServerKeyExchange (before TLS 1.3).

    @ivar group: the number of a named group, 0 for a prime that the server chose itself.
    @ivar bits: the size of the prime of DHE, 0 for elliptic curves.
    @ivar signature: the number of the scheme; 0 before TLS 1.2, where it was not said.
    """

    group: int
    bits: int
    signature: int = 0
    prime: bytes = b""

    @property
    def group_name(self) -> str:
        """The name of the group, or the size of the prime."""
        return f"DHE with {self.bits} bits" if self.bits else name_in(GROUPS, self.group)

    @property
    def signature_name(self) -> str:
        """The name of the signature scheme."""
        return name_in(SIGNATURES, self.signature) if self.signature else _BEFORE_TLS12


def parse_certificates(body: bytes, version: int) -> tuple[bytes, ...]:
    """Returns the chain in a Certificate message as DER, the server's own first; () if the message is malformed."""
    try:
        cursor = Cursor(body)
        if version < TLS13:
            return cursor.vectors(3, 3)[:_LONGEST_CHAIN]
        cursor.vector(1)
        within = Cursor(cursor.vector(3))
        found: list[bytes] = []
        while not within.is_at_end and len(found) < _LONGEST_CHAIN:
            found.append(within.vector(3))
            within.vector(2)
        return tuple(found)
    except Malformed:
        return ()


def parse_key_exchange(body: bytes, version: int, suite_code: int) -> KeyExchange | None:
    """Returns what a ServerKeyExchange says; None if it is malformed, or of a kind without a group (PSK, SRP)."""
    used = suite(suite_code)
    try:
        cursor = Cursor(body)
        if "_PSK_" in used.name:
            cursor.vector(2)
        if used.key_exchange == "ECDHE" or "ECDH_anon" in used.name:
            if cursor.number(1) != _NAMED_CURVE:
                return None
            group, bits, prime = cursor.number(2), 0, b""
            cursor.vector(1)
        elif used.key_exchange == "DHE" or "DH_anon" in used.name:
            prime = cursor.vector(2)
            group, bits = 0, int.from_bytes(prime, "big").bit_length()
            cursor.vector(2)
            cursor.vector(2)
        else:
            return None
        signature = cursor.number(2) if version >= TLS12 and not cursor.is_at_end else 0
    except Malformed:
        return None
    return KeyExchange(group, bits, signature, prime)


def parse_signature(body: bytes) -> int:
    """Returns the scheme of a CertificateVerify of TLS 1.2 and 1.3; 0 if it is malformed."""
    return int.from_bytes(body[:2], "big") if len(body) >= 4 else 0


def parse_protocol(body: bytes) -> str:
    """Returns the application protocol (ALPN) that EncryptedExtensions name; "" if they name none."""
    try:
        within = Cursor(Cursor(body).vector(2))
        while not within.is_at_end:
            number, octets = within.number(2), within.vector(2)
            if number == ALPN:
                names = Cursor(octets).vectors(2, 1)
                return shown(names[0]) if names else ""
    except Malformed:
        pass
    return ""


def parse_lifetime(body: bytes) -> int:
    """Returns for how many seconds a NewSessionTicket is good; 0 if it does not say."""
    return int.from_bytes(body[:4], "big") if len(body) >= 4 else 0
