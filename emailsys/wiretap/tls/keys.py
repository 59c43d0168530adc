"""The keys of TLS 1.3, from the lines of a key log: they open the encrypted messages of the handshake."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from emailsys.wiretap.tls.records import Record
from emailsys.wiretap.tls.suites import suite

#: Labels of a key log: the secrets of the handshake, and the first ones of the time after it.
CLIENT_HANDSHAKE: Final = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
SERVER_HANDSHAKE: Final = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
CLIENT_APPLICATION: Final = "CLIENT_TRAFFIC_SECRET_0"
SERVER_APPLICATION: Final = "SERVER_TRAFFIC_SECRET_0"
_LABELS: Final = frozenset({CLIENT_HANDSHAKE, SERVER_HANDSHAKE, CLIENT_APPLICATION, SERVER_APPLICATION})
_IV_OCTETS: Final = 12  # RFC 8446 §5.3


class KeyLog:
    """The secrets of one connection, in memory only."""

    def __init__(self) -> None:
        self._secrets: dict[tuple[str, bytes], bytes] = {}

    def add(self, line: bytes) -> bool:
        """Keeps the secret of a line `LABEL CLIENT-RANDOM SECRET`. Returns whether it is needed."""
        words = line.split()
        if len(words) != 3 or len(self._secrets) >= 4 * len(_LABELS):
            return False
        label = words[0].decode("ascii", "replace")
        if label not in _LABELS:
            return False
        try:
            self._secrets[label, bytes.fromhex(words[1].decode("ascii"))] = bytes.fromhex(words[2].decode("ascii"))
        except ValueError:
            return False
        return True

    def key(self, label: str, client_random: bytes, suite_code: int) -> TrafficKey | None:
        """Returns the key of a secret, None if its line has not come or the suite is unknown."""
        secret = self._secrets.get((label, client_random))
        if secret is None:
            return None
        try:
            return TrafficKey(secret, suite_code)
        except ValueError:
            return None

    def clear(self) -> None:
        """Drops the secrets."""
        self._secrets.clear()


class TrafficKey:
    """Opens the records of one direction, in order.

    @raise ValueError: the suite is not one of TLS 1.3, or the secret has the wrong size.
    """

    def __init__(self, secret: bytes, suite_code: int) -> None:
        used = suite(suite_code)
        algorithm = hashes.SHA384() if used.hash_name == "sha384" else hashes.SHA256()
        if not used.is_tls13 or len(secret) != algorithm.digest_size:
            raise ValueError(f"no key of {used.name} from a secret of {len(secret)} octets")
        size = 16 if "AES_128" in used.name else 32
        key = _expand_label(secret, b"key", size, algorithm)
        self._iv = int.from_bytes(_expand_label(secret, b"iv", _IV_OCTETS, algorithm), "big")
        self._sequence = 0
        self._cipher: AESGCM | AESCCM | ChaCha20Poly1305
        if "CHACHA20" in used.name:
            self._cipher = ChaCha20Poly1305(key)
        elif "_CCM" in used.name:
            self._cipher = AESCCM(key, tag_length=8 if "_CCM_8" in used.name else 16)
        elif "_GCM" in used.name:
            self._cipher = AESGCM(key)
        else:
            raise ValueError(f"{used.name} is not supported")

    def open(self, record: Record) -> tuple[int, bytes] | None:
        """Returns the true type of a record and its text, without padding; None if this key does not open it.

        A record that was not opened does not count: RFC 8446 §4.2.10 has servers skip early data in the same way.
        """
        nonce = (self._iv ^ self._sequence).to_bytes(_IV_OCTETS, "big")
        try:
            text = self._cipher.decrypt(nonce, record.body, record.header)
        except (InvalidTag, ValueError):
            return None
        self._sequence += 1
        inner = text.rstrip(b"\0")
        return (inner[-1], inner[:-1]) if inner else None


def _expand_label(secret: bytes, label: bytes, size: int, algorithm: hashes.HashAlgorithm) -> bytes:
    """HKDF-Expand-Label of RFC 8446 §7.1, with an empty context."""
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(full),)) + full + b"\0"
    return HKDFExpand(algorithm, size, info).derive(secret)
